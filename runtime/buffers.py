"""Arrays that are kept from call to call, so that a frame after the first allocates none."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Buffers:
    """Float32 arrays by name, for one call at a time; asking for more than there is makes anew."""

    def __init__(self) -> None:
        self._kept: dict[str, Floats] = {}
        self._zeros = np.zeros(0, np.float32)

    @property
    def bytes(self) -> int:
        """What all of them take."""
        return self._zeros.nbytes + sum(array.nbytes for array in self._kept.values())

    def take(self, name: str, shape: tuple[int, ...]) -> Floats:
        """The array ``name`` with arbitrary contents; it is another's at the next ``take``."""
        size = math.prod(shape)
        if name not in self._kept or self._kept[name].size < size:
            self._kept[name] = np.empty(size, np.float32)
        return self._kept[name][:size].reshape(shape)

    def take_bytes(self, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """As :meth:`take`, in uint8."""
        size = math.prod(shape)
        return self.take(name, (-(-size // 4),)).view(np.uint8)[:size].reshape(shape)

    def zeros(self, shape: tuple[int, ...]) -> Floats:
        """Zeros, the same array for everyone: not to be written to."""
        size = math.prod(shape)
        if self._zeros.size < size:
            self._zeros = np.zeros(size, np.float32)
        return self._zeros[:size].reshape(shape)


class BufferPool:
    """Buffers for calls from several threads; above ``most_bytes`` they are let go after a call."""

    _MOST = 4

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._free: list[Buffers] = []
        self._lock = threading.Lock()

    @contextmanager
    def lent(self) -> Iterator[Buffers]:
        """Buffers that are the caller's until the end of the block."""
        with self._lock:
            buffers = self._free.pop() if self._free else Buffers()
        yield buffers
        with self._lock:
            if len(self._free) < self._MOST and buffers.bytes <= self._most_bytes:
                self._free.append(buffers)
