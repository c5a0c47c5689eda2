"""The one loop: predictor once, then a sampler table, row by row, for each sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.samplers import Table

Floats = NDArray[np.float32]
Noise = Callable[[int], Floats]


class Step(Protocol):
    """The denoiser step graph: (z, y, noise, previous, row) to (z, residual)."""

    def __call__(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]: ...


def sample_residual(table: Table, y: Floats, step: Step, noise: Noise) -> Floats:
    """One sampled residual z_0, float32 (1, 3, H, W), for the blurred ``y`` of that shape.

    ``noise(k)`` is the standard normal field of step k: 0 for the start, 1, 2, ... for the rows.
    """
    z = np.float32(table.start) * noise(0)
    silent = previous = np.zeros_like(y)
    adds_noise = table.column("noise") != 0.0
    for index, row in enumerate(table.rows.astype(np.float32)):
        fresh = noise(index + 1) if adds_noise[index] else silent
        z, previous = step(z, y, fresh, previous, row)
    return z
