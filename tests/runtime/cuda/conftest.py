"""The kernels of runtime/cuda built for the host, and the driver that runs them."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.bundle import Bundle, open_bundle
from runtime.cuda.kernels import SOURCE


@pytest.fixture(scope="session")
def host_kernels(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """tests/runtime/cuda/host_kernels.cpp, with one rounding for each operation as on the GPU."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("there is no C++ compiler to build the kernels for the host with")
    target = tmp_path_factory.mktemp("kernels") / "host_kernels.so"
    source = Path(__file__).with_name("host_kernels.cpp")
    command = [compiler, "-std=c++17", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
    command += ["-Wno-unknown-pragmas", "-shared", "-fPIC", f"-I{SOURCE.parent}"]
    subprocess.run([*command, str(source), "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


@pytest.fixture(scope="session")
def tiny() -> Bundle:
    """The bundle that is shipped: it takes no export, so no torch."""
    return open_bundle("tiny")
