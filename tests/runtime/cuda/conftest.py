"""The kernels of runtime/cuda built for the host, and the driver that runs them."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.bundle import Bundle, open_bundle
from runtime.cuda.kernels import SOURCE

HERE = Path(__file__).parent
Build = Callable[[Path, Path], None]


@pytest.fixture(scope="session")
def build_for_host() -> Build:
    """Builds a shared library, with one rounding for each operation as on the GPU."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("there is no C++ compiler to build the kernels for the host with")
    flags = ["-std=c++17", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
    flags += ["-Wno-unknown-pragmas", "-shared", "-fPIC", f"-I{SOURCE.parent}", f"-I{HERE}"]

    # Two libraries with the same kernels may live in one process: each calls its own.
    flags.append("-Wl,-Bsymbolic")

    def build(source: Path, target: Path) -> None:
        subprocess.run([compiler, *flags, str(source), "-o", str(target)], check=True)

    return build


@pytest.fixture(scope="session")
def host_kernels(build_for_host: Build, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """tests/runtime/cuda/host_kernels.cpp."""
    target = tmp_path_factory.mktemp("kernels") / "host_kernels.so"
    build_for_host(HERE / "host_kernels.cpp", target)
    return ctypes.CDLL(str(target))


@pytest.fixture(scope="session")
def tiny() -> Bundle:
    """The bundle that is shipped: it takes no export, so no torch."""
    return open_bundle("tiny")
