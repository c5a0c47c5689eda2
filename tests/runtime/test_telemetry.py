"""Nothing that is used here reports to anyone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")

PROGRAM = """
import numpy as np
from runtime import deblur
deblur(np.zeros((16, 16, 3), np.uint8), engine="onnx-cpu", preset="realtime")
"""


def test_deblurring_leaves_no_telemetry_behind(tmp_path: Path) -> None:
    """ONNX Runtime keeps what it has to report below the home folder."""
    dropped = ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**environment, "HOME": str(tmp_path)},
        cwd=Path(__file__).resolve().parents[2],
        check=True,
        timeout=120,
    )
    assert not list(tmp_path.rglob("*onnxruntime*"))


def test_a_person_may_ask_for_telemetry() -> None:
    asked = subprocess.run(
        [sys.executable, "-c", "import os, runtime; print(os.environ['ORT_DISABLE_TELEMETRY'])"],
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "0"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert asked.stdout == "0\n"
