"""The CUDA devices of this machine, asked of the driver itself: it needs no other package."""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from functools import cache

# tensorrt-rtx, not told otherwise, builds engines for Ampere and later.
PORTABLE_FROM_SM = 80
_MAJOR_ATTRIBUTE, _MINOR_ATTRIBUTE = 75, 76
_NAME_BYTES = 256
_LIBRARY = "nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1"


@dataclass(frozen=True)
class Device:
    """One GPU: its name, compute capability (sm, 8.6 is 86) and memory in bytes."""

    name: str
    sm: int
    memory_bytes: int

    def __str__(self) -> str:
        """How an engine's identity names it; plans are also bound to the host's platform."""
        return f"{self.name} (sm{self.sm}, {platform.system()} {platform.machine()})"


def cuda_devices() -> tuple[Device, ...]:
    """The GPUs that the CUDA driver shows, in its order; none where there is no driver."""
    driver, count = _driver(), ctypes.c_int(0)
    if driver is None:
        return ()
    # CUDA Driver API, "Initialization": to be called first, and again without harm.
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    return tuple(_device(driver, index) for index in range(count.value))


def no_gpu() -> str | None:
    """Why no NVIDIA GPU can be used here, or None where one can."""
    if _driver() is None:
        return f"no NVIDIA driver ({_LIBRARY}) is on this machine; install it, or name a CPU engine"
    if not cuda_devices():
        return "the NVIDIA driver finds no GPU; check nvidia-smi, or name a CPU engine"
    return None


@cache
def _driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        return None


def _device(driver: ctypes.CDLL, index: int) -> Device:
    handle, name = ctypes.c_int(0), ctypes.create_string_buffer(_NAME_BYTES)
    memory = ctypes.c_size_t(0)
    driver.cuDeviceGet(ctypes.byref(handle), index)
    driver.cuDeviceGetName(name, _NAME_BYTES, handle)
    # The suffix stands for the 64-bit form, which took over from cuDeviceTotalMem in CUDA 3.2.
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    major, minor = (_attribute(driver, key, handle) for key in (_MAJOR_ATTRIBUTE, _MINOR_ATTRIBUTE))
    return Device(name.value.decode(), 10 * major + minor, memory.value)


def _attribute(driver: ctypes.CDLL, key: int, handle: ctypes.c_int) -> int:
    value = ctypes.c_int(0)
    driver.cuDeviceGetAttribute(ctypes.byref(value), key, handle)
    return value.value
