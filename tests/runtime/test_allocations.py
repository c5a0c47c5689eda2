"""What a frame allocates after the first ones, seen by tracemalloc."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import Session
from runtime.engines.fake import FakeEngine

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Python's own small objects, and the buffers inside numpy's conversions.
_SMALL = 128 * 1024


class Preallocated(FakeEngine):
    """An engine that returns its own arrays, so that all that is seen is the loop's."""

    def __init__(self) -> None:
        self._outputs: dict[tuple[int, ...], list[Floats]] = {}

    def predict(self, y: Floats) -> Floats:
        return self._output(y, 0)

    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        return self._output(z, 1), self._output(z, 2)

    def _output(self, like: Floats, index: int) -> Floats:
        if like.shape not in self._outputs:
            self._outputs[like.shape] = [np.zeros_like(like) for _ in range(3)]
        return self._outputs[like.shape][index]


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("size", [(256, 256), (250, 247)])
def test_a_frame_allocates_nothing_but_its_result(
    open_with: Callable[..., Session], photograph: Image, samples: int, size: tuple[int, int]
) -> None:
    session = open_with(Preallocated())
    frame = photograph[: size[0], : size[1]]
    for _ in range(2):
        session.deblur(frame, steps=4, samples=samples)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        result = session.deblur(frame, steps=4, samples=samples)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < result.nbytes + _SMALL
    # A padded frame is converted whole before its padding is cut off.
    padded = 0 if size == (256, 256) else 256 * 256 * 3
    assert peak - before < result.nbytes + padded + _SMALL
