"""Is there an NVIDIA GPU? Asked of the driver itself, so that no library has to be installed."""

from __future__ import annotations

import ctypes
from functools import cache

_DRIVER = "libcuda.so.1"


def no_gpu() -> str | None:
    """Why no NVIDIA GPU can be used here, or None where one can."""
    driver = _driver()
    if driver is None:
        return f"no NVIDIA driver ({_DRIVER}) is on this machine; install it, or name a CPU engine"
    count = ctypes.c_int()
    if driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return "the NVIDIA driver finds no GPU; check nvidia-smi, or name a CPU engine"
    return None


def memory_bytes() -> int | None:
    """All memory of the first GPU, or None where the driver does not say."""
    driver = _driver()
    device, size = ctypes.c_int(), ctypes.c_size_t()
    if driver is None or driver.cuDeviceGet(ctypes.byref(device), 0) != 0:
        return None
    if driver.cuDeviceTotalMem_v2(ctypes.byref(size), device) != 0:
        return None
    return size.value


@cache
def _driver() -> ctypes.CDLL | None:
    """The initialised driver library (CUDA Driver API, "Initialization"), or None."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return None
    return driver if driver.cuInit(0) == 0 else None
