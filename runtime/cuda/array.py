"""A picture in a GPU's memory, for programs that have neither torch nor cupy."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.cuda.driver import Driver

Image = NDArray[np.uint8]


class DeviceArray:
    """A copy of ``image``, uint8 of any shape, in the memory of ``driver``'s device.

    Shows itself by ``__cuda_array_interface__``, so that ``deblur`` takes it, also as ``out``.
    """

    def __init__(self, driver: Driver, image: Image) -> None:
        self._driver, self._shape, self._size = driver, image.shape, image.nbytes
        driver.enter()
        self._address = driver.allocate(image.nbytes)
        self._carry(np.ascontiguousarray(image).ravel())

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self._shape,
            "typestr": "|u1",
            "data": (self._address, False),
            "strides": None,
            "version": 3,
            "stream": self._driver.stream,
        }

    def __enter__(self) -> DeviceArray:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self) -> Image:
        """What lies there now, as numpy."""
        return self._carry(None).reshape(self._shape)

    def close(self) -> None:
        """Give the memory back."""
        self._driver.enter()
        self._driver.release(self._address)

    def _carry(self, up: Image | None) -> Image:
        """Take ``up`` to the device, or what is there to the host, and return it."""
        driver = self._driver
        driver.enter()
        pinned = driver.pin(self._size)
        try:
            if up is None:
                driver.download(pinned.address, self._address, self._size)
            else:
                pinned.bytes[:] = up
                driver.upload(self._address, pinned.address, self._size)
            driver.synchronize()
            return pinned.bytes.copy()
        finally:
            driver.unpin(pinned)
