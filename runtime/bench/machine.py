"""The circumstances of a measurement: software and its versions, the machine and its settings."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from runtime.bench.nvml import Gpu, gpus
from runtime.version import __version__

# Distributions whose version changes what is measured.
_LIBRARIES = (
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
    "torch",
)
# Variables that libraries read and that change their speed.
_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "KMP_AFFINITY",
    "MALLOC_MMAP_MAX_",
    "MALLOC_TRIM_THRESHOLD_",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
    "THP_MEM_ALLOC_ENABLE",
)
_JETSON_RELEASE = Path("/etc/nv_tegra_release")
_JETSON_MODEL = Path("/proc/device-tree/model")


class Software(msgspec.Struct, frozen=True):
    """The package, its commit where it runs from a git checkout, and the libraries' versions.

    ``commit`` ends in ``+changes`` where the checkout's package differs from it.
    """

    made_by: str
    commit: str | None
    python: str
    libraries: dict[str, str]


class Machine(msgspec.Struct, frozen=True):
    """Processor, memory, GPUs and what was set from outside.

    ``cores`` are those this process may use. ``jetson`` and ``power_mode`` are the board's model
    and its ``nvpmodel`` mode, None elsewhere.
    """

    cpu: str
    cores: int
    memory_mib: int | None
    system: str
    gpus: tuple[Gpu, ...] = ()
    jetson: str | None = None
    power_mode: str | None = None
    environment: dict[str, str] = {}

    @property
    def device(self) -> str:
        """What to call it in a table: the board, the GPU, or the processor."""
        if self.jetson:
            return self.jetson
        if self.gpus:
            return f"{self.gpus[0].name} (driver {self.gpus[0].driver})"
        return f"{self.cpu}, {self.cores} cores"


def describe_software() -> Software:
    """The versions in use now."""
    found = {name: _version(name) for name in _LIBRARIES}
    return Software(
        made_by=f"dvsr-edge {__version__}",
        commit=_commit(Path(__file__).resolve().parents[2]),
        python=platform.python_version(),
        libraries={name: known for name, known in found.items() if known},
    )


def describe_machine() -> Machine:
    """The machine this runs on."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        memory_mib=_memory_mib(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        gpus=gpus(),
        jetson=_jetson(),
        power_mode=_said(["nvpmodel", "-q"]) if _JETSON_RELEASE.exists() else None,
        environment={name: os.environ[name] for name in _VARIABLES if name in os.environ},
    )


def load_1min() -> float:
    """How many processes wanted to run, on average over the last minute; NaN where unknown."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else float("nan")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit(root: Path) -> str | None:
    if not (root / ".git").exists():
        return None
    commit = _said(["git", "-C", str(root), "rev-parse", "HEAD"])
    changes = _said(["git", "-C", str(root), "status", "--porcelain", "--", "runtime"])
    return commit and (f"{commit}+changes" if changes else commit)


def _said(command: list[str]) -> str | None:
    """What ``command`` prints, in one line; None where it is missing or fails."""
    try:
        done = subprocess.run(  # noqa: S603 (fixed commands, no shell)
            command, capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return " ".join(done.stdout.split()) or None


def _cpu() -> str:
    for key in ("model name", "Model", "Hardware"):
        for line in _lines(Path("/proc/cpuinfo")):
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return platform.processor() or platform.machine()


def _memory_mib() -> int | None:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return None


def _jetson() -> str | None:
    if not _JETSON_RELEASE.exists():
        return None
    return "".join(_lines(_JETSON_MODEL)).rstrip("\0") or "Jetson"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
