"""Imports flow down: export -> train -> runtime. Proved in bare interpreters."""

from __future__ import annotations

import subprocess
import sys

import pytest

import runtime


def modules_after(statement: str) -> set[str]:
    """Top-level modules loaded once ``statement`` has run in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_importing_runtime_loads_no_engine_and_no_opencv() -> None:
    heavy = {
        "torch",
        "onnxruntime",
        "cuda",
        "cv2",
        "onnx",
        "openvino",
        "tensorrt",
        "ray",
        "train",
        "export",
    }
    assert not heavy & modules_after("import runtime")


def test_the_runtimes_command_line_loads_nothing_above_it() -> None:
    assert not {"torch", "train", "export"} & modules_after("import runtime.__main__")


@pytest.mark.parametrize(
    "module", ["train.network", "train.loop", "train.evaluate", "train.__main__"]
)
def test_train_does_not_load_export(module: str) -> None:
    assert "export" not in modules_after(f"import {module}")


def test_the_front_door_is_sorted_and_whole() -> None:
    assert runtime.__all__ == sorted(runtime.__all__)
    assert all(hasattr(runtime, name) for name in runtime.__all__)
