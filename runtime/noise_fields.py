"""Noise fields, kept where they fit and drawn ahead of time by a thread.

A camera keeps its seed, so each frame needs the fields of the frame before: drawing takes about a
tenth of the time of a step, reading none.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runtime.noise import normals

Floats = NDArray[np.float32]


class Key(NamedTuple):
    """What a field is a function of, in the order of :func:`runtime.noise.normals`."""

    seed: int
    sample: int
    step: int
    height_px: int
    width_px: int

    @property
    def bytes(self) -> int:
        """Size of the field."""
        return 3 * 4 * self.height_px * self.width_px


class NoiseFields:
    """The fields used last, up to ``capacity_bytes``; safe to share between threads."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._kept: OrderedDict[Key, Future[Floats]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._drawer: ThreadPoolExecutor | None = None

    def field(self, key: Key) -> Floats:
        """The field of ``key``, float32 (3, H, W), read-only; waits where it is being drawn."""
        with self._lock:
            future = self._kept.get(key)
            if future is not None:
                self._kept.move_to_end(key)
        if future is not None:
            return future.result()
        return self._draw(key, self._reserve(key))

    def ahead(self, key: Key) -> None:
        """Begin to draw ``key`` in the background if it would be kept and is not there yet."""
        # Two at a time, the one in use and the next, are the least that is of use.
        if 2 * key.bytes > self._capacity:
            return
        with self._lock:
            if key in self._kept:
                return
        future = self._reserve(key)
        with self._lock:
            if self._drawer is None:
                self._drawer = ThreadPoolExecutor(1, thread_name_prefix="dvsr-noise")
            self._drawer.submit(self._draw, key, future)

    def close(self) -> None:
        """Let go of the thread and all fields."""
        with self._lock:
            drawer, self._drawer = self._drawer, None
            self._kept.clear()
            self._bytes = 0
        if drawer is not None:
            drawer.shutdown(wait=False)

    def _reserve(self, key: Key) -> Future[Floats]:
        future: Future[Floats] = Future()
        with self._lock:
            if 2 * key.bytes > self._capacity or key in self._kept:
                return future
            self._kept[key] = future
            self._bytes += key.bytes
            while self._bytes > self._capacity:
                oldest, _ = self._kept.popitem(last=False)
                self._bytes -= oldest.bytes
        return future

    def _draw(self, key: Key, future: Future[Floats]) -> Floats:
        try:
            field = normals(*key)
        except BaseException as error:
            future.set_exception(error)  # for those who wait
            with self._lock:
                if self._kept.get(key) is future:
                    del self._kept[key]
                    self._bytes -= key.bytes
            raise
        field.flags.writeable = False
        future.set_result(field)
        return field
