"""Real pictures, cut to a size that a graph takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.errors import DataError, ImageError
from runtime.images import SUFFIXES, read_image

Image = NDArray[np.uint8]


def read_crops(folder: Path, side_px: int, count: int) -> list[Image]:
    """Up to ``count`` squares, uint8 (side, side, 3), from the middle of pictures below ``folder``.

    The pictures are spread evenly over the folder in the order of their names; those smaller than
    the square or unreadable are left out. Raises DataError where none is left.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    crops = []
    for path in _spread(paths, count):
        try:
            image = read_image(path)
        except ImageError:
            continue
        top, left = ((side - side_px) // 2 for side in image.shape[:2])
        if min(top, left) >= 0:
            crops.append(np.ascontiguousarray(image[top : top + side_px, left : left + side_px]))
    if not crops:
        raise DataError(
            f"{folder} has no readable picture of at least {side_px}x{side_px} "
            f"({len(paths)} files of {', '.join(SUFFIXES)} looked at); name a folder of photographs"
        )
    return crops


def _spread(paths: list[Path], count: int) -> list[Path]:
    if len(paths) <= count:
        return paths
    return [paths[round(index * (len(paths) - 1) / max(count - 1, 1))] for index in range(count)]
