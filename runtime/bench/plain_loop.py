"""The loop that peers of numpy libraries run: written plainly, as a first version would be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.samplers import Table

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Noise = Callable[[int, int], Floats]


@dataclass(frozen=True)
class PlainLoop:
    """A peer made of two functions on float32 (N, 3, H, W), sizes padded to ``multiple_px``."""

    name: str
    predict: Callable[[Floats], Floats]
    step: Callable[[dict[str, Floats]], tuple[Floats, Floats]]
    multiple_px: int

    def deblur(self, images: Image, table: Table, samples: int, noise: Noise | None) -> Image:
        """See :class:`runtime.bench.subjects.Peer`."""
        _, height, width, _ = images.shape
        bottom, right = -height % self.multiple_px, -width % self.multiple_px
        padded = np.pad(images, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="reflect")
        y = padded.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - np.float32(1.0)
        draw = _native_noise(y.shape[2:]) if noise is None else noise
        result = self.predict(y)
        if table.steps:
            residuals = [self._sample(y, table, draw, sample) for sample in range(samples)]
            result = result + np.mean(residuals, axis=0)
        grey = np.rint(np.clip((result + 1.0) * 127.5, 0.0, 255.0)).astype(np.uint8)
        return np.ascontiguousarray(grey.transpose(0, 2, 3, 1)[:, :height, :width])

    def _sample(self, y: Floats, table: Table, draw: Noise, sample: int) -> Floats:
        def field(step: int) -> Floats:
            return np.broadcast_to(draw(sample, step), y.shape).astype(np.float32)

        z = np.float32(table.start) * field(0)
        previous = np.zeros_like(y)
        for index, row in enumerate(table.rows.astype(np.float32)):
            inputs = {"z": z, "y": y, "noise": field(index + 1), "previous": previous, "row": row}
            z, previous = self.step(inputs)
        return z

    def close(self) -> None:
        """Nothing to let go of: what the functions hold ends with them."""


def _native_noise(size_px: tuple[int, ...]) -> Noise:
    generator = np.random.default_rng(0)

    def draw(_sample: int, _step: int) -> Floats:
        return generator.standard_normal((3, *size_px), np.float32)

    return draw
