"""A session and sources that cost next to nothing, for testing what is around them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle, open_bundle
from runtime.camera import Reading

Image = NDArray[np.uint8]


class LightSession:
    """Inverts pictures; ``work(steps, samples)`` is called for each, to take time or to fail."""

    engine = "light"

    def __init__(self, work: Callable[[int | None, int | None], None] | None = None) -> None:
        self.bundle: Bundle = open_bundle()
        self._work = work

    def deblur(
        self,
        image: Image,
        *,
        steps: int | None = None,
        samples: int | None = None,
        seed: int = 0,
        preset: str | None = None,
    ) -> Image:
        if self._work is not None:
            self._work(steps, samples)
        return 255 - image


class ListSource:
    """Hands out what it was given: pictures, or errors to raise."""

    name = "list"

    def __init__(
        self, readings: Iterable[Image | Exception], *, live: bool = False, fps: float = 25.0
    ) -> None:
        self._readings: Iterator[tuple[int, Image | Exception]] = zip(
            count(), readings, strict=False
        )
        self.live = live
        self.fps = fps
        self.closed = False

    def read(self) -> Reading | None:
        for index, reading in self._readings:
            if isinstance(reading, Exception):
                raise reading
            return Reading(reading, None if self.live else 1000.0 * index / self.fps)
        return None

    def close(self) -> None:
        self.closed = True


def numbered(count: int, height_px: int = 12, width_px: int = 16) -> Iterator[Image]:
    """Pictures that are all of one value: their number, modulo 256."""
    for number in range(count):
        yield np.full((height_px, width_px, 3), number % 256, np.uint8)
