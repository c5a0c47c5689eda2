"""How good the picture is whose time was taken: PSNR and SSIM over pairs of pictures."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.bench.rows import Quality
from runtime.errors import DataError
from runtime.images import SUFFIXES, read_image

Image = NDArray[np.uint8]

# What stands for "no difference at all", so that a mean stays a number.
IDENTICAL_DB = 361.0


@dataclass(frozen=True)
class Pairs:
    """Blurred pictures and their sharp counterparts, uint8 RGB (H, W, 3), and their folder."""

    data: str
    blurred: tuple[Image, ...]
    sharp: tuple[Image, ...]


def read_pairs(folder: Path, limit: int) -> Pairs:
    """At most ``limit`` pairs from ``blur/`` and ``sharp/``, taken evenly over the sorted names.

    Raises DataError and ImageError.
    """
    names = [sorted(_pictures(folder / kind)) for kind in ("blur", "sharp")]
    if names[0] != names[1]:
        lone = sorted(set(names[0]) ^ set(names[1]))
        raise DataError(f"{folder}: {lone[0]} has no counterpart in both blur/ and sharp/")
    if not names[0]:
        raise DataError(f"{folder} has no pictures in blur/ and sharp/; give a folder of pairs")
    every = max(1, len(names[0]) // max(1, limit))
    chosen = names[0][::every][:limit]
    blurred, sharp = (
        tuple(read_image(folder / kind / name) for name in chosen) for kind in ("blur", "sharp")
    )
    return Pairs(folder.resolve().name, blurred, sharp)


def measure_quality(deblur: Callable[[Image], Image], pairs: Pairs) -> Quality:
    """Means over all pairs of what ``deblur`` makes of the blurred ones."""
    results = [deblur(image) for image in pairs.blurred]
    similar = [ssim(a, b) for a, b in zip(results, pairs.sharp, strict=True)]
    return Quality(
        data=pairs.data,
        pictures=len(results),
        blurred_psnr_db=_mean_db(pairs.blurred, pairs.sharp),
        psnr_db=_mean_db(results, pairs.sharp),
        ssim=None
        if None in similar
        else round(float(np.mean([s for s in similar if s is not None])), 5),
    )


def psnr_db(a: Image, b: Image) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures of one shape; 361 where they are equal."""
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return IDENTICAL_DB if error == 0.0 else float(10.0 * np.log10(255.0**2 / error))


def ssim(a: Image, b: Image) -> float | None:
    """Structural similarity as Wang et al. 2004 define it, by scikit-image; None without it."""
    if find_spec("skimage") is None:
        return None
    metrics = importlib.import_module("skimage.metrics")
    value: float = metrics.structural_similarity(
        a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return float(value)


def _mean_db(a: Sequence[Image], b: Sequence[Image]) -> float:
    return round(float(np.mean([psnr_db(x, y) for x, y in zip(a, b, strict=True)])), 3)


def _pictures(folder: Path) -> list[str]:
    try:
        found = [path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    except OSError as error:
        raise DataError(
            f"cannot read {folder}: {error.strerror}; wanted is a folder with blur/ and sharp/"
        ) from error
    return found
