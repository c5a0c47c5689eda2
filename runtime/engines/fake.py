"""An engine without a library or a network, for tests, for pipelines, and to time the loop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_SHARE = np.float32(0.25)


class FakeEngine:
    """Predicts the blurred picture itself; its network's output is a quarter of that picture.

    The update is the real one, so noise, seeds, samples and presets have their effects. The C++
    library's fake engine computes the same.
    """

    @property
    def name(self) -> str:
        return "fake (no graphs, CPU)"

    def predict(self, y: Floats) -> Floats:
        return y.copy()

    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        _, from_z, from_output, keep, take, take_previous, fresh = row
        residual = from_z * z + from_output * (_SHARE * y)
        z_next = keep * z + take * residual + take_previous * previous + fresh * noise
        return z_next, residual
