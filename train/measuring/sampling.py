"""Samples of the residual one by one, on any engine: what measuring needs beside ``deblur()``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from runtime.buffers import Buffers
from runtime.engines import Engine
from runtime.images import from_model, to_model
from runtime.intake import padded
from runtime.loop import sample_residual
from runtime.noise import normals
from runtime.samplers import Table

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """A sharp picture; of its blurred twin what the networks get, and what the predictor makes."""

    sharp: Image
    y: Floats
    guess: Floats


def to_pair(engine: Engine, blurred: Image, sharp: Image, multiple_px: int) -> Pair:
    """``blurred`` and ``sharp`` (H, W, 3), ready to be sampled; ``multiple_px`` as padded()."""
    y = to_model(padded(blurred[None], multiple_px, Buffers())[0])
    return Pair(sharp, y, engine.predict(y))


def draw_residuals(engine: Engine, y: Floats, table: Table, seed: int) -> Iterator[Floats]:
    """Samples of the residual of ``y`` (1, 3, H, W) without end, with the runtime's noise."""
    for sample in count():

        def noise(step: int, sample: int = sample) -> Floats:
            return normals(seed, sample, step, y.shape[2], y.shape[3])[None]

        yield sample_residual(table, y, engine.step, noise)


def average_samples(
    engine: Engine, pair: Pair, table: Table, counts: Sequence[int], seed: int
) -> Iterator[tuple[int, Image]]:
    """The pictures of the first ``counts`` (rising) samples averaged, each with its count."""
    height, width = pair.sharp.shape[:2]
    residuals = draw_residuals(engine, pair.y, table, seed)
    total = np.zeros_like(pair.y)
    drawn = 0
    for wanted in counts:
        while drawn < wanted:
            total += next(residuals)
            drawn += 1
        yield wanted, from_model(pair.guess + total / np.float32(wanted))[:height, :width]
