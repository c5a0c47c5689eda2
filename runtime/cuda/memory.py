"""Device memory with one owner: buffers that live together, and the scratch that all share."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.cuda.driver import Driver

ALIGNMENT = 256  # what TensorRT asks of every address


def aligned(size: int) -> int:
    """``size`` rounded up so that what follows is aligned."""
    return -(-size // ALIGNMENT) * ALIGNMENT


class Buffers:
    """Device buffers by name: all of them are there, or none."""

    def __init__(self, driver: Driver, sizes: Mapping[str, int]) -> None:
        self._driver = driver
        self._addresses: dict[str, int] = {}
        self.size = sum(aligned(size) for size in sizes.values())
        try:
            for name, size in sizes.items():
                self._addresses[name] = driver.allocate(aligned(size))
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name: str) -> int:
        return self._addresses[name]

    def close(self) -> None:
        """Give all of it back."""
        while self._addresses:
            self._driver.release(self._addresses.popitem()[1])


class Scratch:
    """One block of scratch memory for networks that run one after another on the stream.

    ``generation`` changes with the address: whoever was given the old one must take the new one.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.address = 0
        self.size = 0
        self.generation = 0

    def reserve(self, size: int) -> None:
        """Have at least ``size`` bytes; raises DeviceMemoryError, and there are none then."""
        size = aligned(size)
        if size > self.size:
            self._driver.synchronize()
            self.close()
            self.address = self._driver.allocate(size)
            self.size = size

    def close(self) -> None:
        """Give it back."""
        if self.size:
            self._driver.release(self.address)
        self.address = self.size = 0
        self.generation += 1
