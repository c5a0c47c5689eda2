"""When a picture of C++ counts as that of Python."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

MOST_LEVELS = 1
MOST_SAMPLES_OFF = 1e-4


def check_same(got: Image, expected: Image) -> tuple[int, float]:
    """Identical, or one grey level apart in at most one sample of ten thousand.

    The library may be another version of ONNX Runtime than Python's, whose sums round differently.
    Returns the largest difference in grey levels and the share of the samples that differ.
    """
    off = np.abs(got.astype(np.int16) - expected)
    histogram = np.bincount(off.ravel()).tolist()
    levels, share = int(off.max()), float(np.mean(off > 0))
    assert levels <= MOST_LEVELS, histogram
    assert share <= MOST_SAMPLES_OFF, histogram
    return levels, share
