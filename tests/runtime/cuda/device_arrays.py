"""Arrays in a HostDriver's memory that show themselves as CUDA arrays do."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from host_driver import HostDriver
from numpy.typing import NDArray

CUDA, CPU = 2, 1


class ByInterface:
    """``__cuda_array_interface__`` in version 3, worked on in ``stream``."""

    def __init__(self, driver: HostDriver, array: NDArray[Any], stream: int | None = 5) -> None:
        self.address = driver.allocate(array.nbytes)
        block = (ctypes.c_uint8 * array.nbytes).from_address(self.address)
        self.values = np.ctypeslib.as_array(block).view(array.dtype).reshape(array.shape)
        self.values[:] = array
        self.__cuda_array_interface__: dict[str, Any] = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (self.address, False),
            "strides": None,
            "version": 3,
            "stream": stream,
        }


class ByDlpack:
    """DLPack: numpy's own capsules, in which the device is called a CUDA device."""

    def __init__(self, driver: HostDriver, array: NDArray[Any], ordinal: int = 0) -> None:
        self.driver, self.ordinal = driver, ordinal
        self.values = ByInterface(driver, array).values

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA, self.ordinal

    def __dlpack__(self, *, stream: int) -> object:
        if stream != -1:
            self.driver.wait_for(stream)
        capsule = self.values.__dlpack__()
        get = ctypes.pythonapi.PyCapsule_GetPointer
        get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
        # In a DLTensor the device follows the pointer to the data.
        kind = ctypes.c_int32.from_address(get(capsule, b"dltensor") + 8)
        assert kind.value == CPU
        kind.value = CUDA
        return capsule
