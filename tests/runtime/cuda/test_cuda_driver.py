"""driver.py through the real cuda-python, into a driver library made of this computer's memory."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.cuda.kernels import SOURCE

HERE = Path(__file__).parent


def test_every_call_of_the_loop_goes_through_cuda_python_as_it_is_meant(
    host_kernels: ctypes.CDLL, build_for_host: object, tmp_path: Path
) -> None:
    for module in ("cuda.bindings.driver", "cuda.bindings.nvrtc"):
        pytest.importorskip(module, reason="cuda-bindings is not installed")
    build_for_host(HERE / "host_cuda.cpp", tmp_path / "libcuda.so.1")  # type: ignore[operator]
    paths = [str(SOURCE.parents[2]), str(HERE), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(HERE / "host_cuda_loop.py"), host_kernels._name],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "NVRTC cannot be loaded" in done.stderr:
        pytest.skip("nvidia-cuda-nvrtc is not installed")
    assert done.stdout.strip() == "same", done.stderr
