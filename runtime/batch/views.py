"""What helps people judge a deblurred picture: before beside after, and where the model guesses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Few and round, so that most pictures of a batch share one scale; 127.5 is the largest there is.
STD_SCALES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 127.5)

_GAP_FRACTION = 1 / 200
_SHOWN_FRACTION = 0.99


def side_by_side(before: Image, after: Image) -> Image:
    """Both pictures, uint8 RGB (H, W, 3), with a thin white gap of about W / 200 between them."""
    height, width = before.shape[:2]
    gap = np.full((height, max(2, round(width * _GAP_FRACTION)), 3), 255, np.uint8)
    return np.concatenate([before, gap, after], axis=1)


def heat_map(std: Floats) -> tuple[Image, float]:
    """A standard deviation, float32 (H, W, 3) in grey levels, as colours; and their full scale.

    Black is 0 and pale yellow the scale or more: the first of STD_SCALES that 99 % of the pixels
    do not exceed, as a few edges would leave the rest in the dark. Between them the map "inferno"
    is perceptually uniform. A pixel's value is the root of the mean variance of its three
    channels. Returns uint8 RGB (H, W, 3) and grey levels.
    """
    import cv2

    level = np.sqrt(np.mean(np.square(std), axis=2))
    high = float(np.quantile(level, _SHOWN_FRACTION))
    scale = next((scale for scale in STD_SCALES if high <= scale), STD_SCALES[-1])
    shade = np.clip(np.rint(level * (255.0 / scale)), 0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(shade, cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(colours[:, :, ::-1]), scale
