"""Pictures to time: made, not read, so that every machine times the same ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def make_pictures(batch: int, height_px: int, width_px: int) -> Image:
    """Edges, gradients and texture, uint8 RGB (H, W, 3), or (N, H, W, 3) for a batch above 1."""
    pictures = [_picture(height_px, width_px, phase) for phase in range(batch)]
    return pictures[0] if batch == 1 else np.stack(pictures)


def _picture(height_px: int, width_px: int, phase: int) -> Image:
    rows, columns = np.mgrid[:height_px, :width_px].astype(np.float32)
    edges = [
        60.0 * np.sign(np.sin(rows / (9 + k) + columns / (17 - 3 * k) + phase)) for k in range(3)
    ]
    ramp = 80.0 * columns / width_px + 30.0 * rows / height_px
    texture = np.random.default_rng(phase).normal(0.0, 6.0, (height_px, width_px, 3))
    picture = np.clip(90.0 + np.stack(edges, axis=2) + ramp[:, :, None] + texture, 0.0, 255.0)
    return picture.astype(np.uint8)
