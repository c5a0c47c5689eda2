"""NIQE: how unnatural a picture looks, without its sharp twin; lower is better.

Mittal, Soundararajan and Bovik, "Making a 'Completely Blind' Image Quality Analyzer", IEEE Signal
Processing Letters 20(3), 2013: statistics of patches of 96 px at two scales, and the distance of
their Gaussian from that of natural photographs. Figures compare only under the same natural model.

``python -m train.naturalness`` fits that model to photographs. The authors' own is read as well:
``.mat`` with mu_prisparam and cov_prisparam, or pop_mu and pop_cov; ``.npz`` with mu_pris_param and
cov_pris_param, which is also what is written here.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.bundle import sha256
from runtime.errors import DataError
from runtime.files import write_whole
from train.extras import load

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

PATCH_PX = 96
FEATURES = 36
# The covariance of a picture's own patches needs more than one.
SMALLEST_PX = 2 * PATCH_PX
# Of a photograph the sharp patches count: people don't judge what is out of focus (section II.B).
_SHARPEST = 0.75
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
_SHAPES = np.arange(0.2, 10.0005, 0.001)
_NAMES = (
    ("mu_pris_param", "cov_pris_param"),
    ("mu_prisparam", "cov_prisparam"),
    ("pop_mu", "pop_cov"),
)


@dataclass(frozen=True)
class NaturalModel:
    """What patches of natural photographs look like: a Gaussian over their features.

    ``mean`` is (36,), ``covariance`` (36, 36); ``sha256`` is that of the file they came from.
    """

    mean: Floats
    covariance: Floats
    sha256: str = ""


def niqe(image: Image, model: NaturalModel) -> float:
    """NIQE of uint8 RGB ``image`` (H, W, 3) of at least SMALLEST_PX on both sides (equation 10)."""
    features, _ = measure_patches(image)
    features = features[np.isfinite(features).all(axis=1)]
    if len(features) < 2:
        return float("nan")
    difference = model.mean - features.mean(axis=0)
    covariance = (model.covariance + np.cov(features, rowvar=False)) / 2.0
    return float(np.sqrt(difference @ np.linalg.pinv(covariance) @ difference))


def fit(images: Iterable[Image]) -> NaturalModel:
    """The model of uint8 RGB photographs; raises DataError where they hold too few patches."""
    kept = []
    for image in images:
        if min(image.shape[:2]) >= PATCH_PX:
            features, sharpness = measure_patches(image)
            sharp = sharpness > _SHARPEST * sharpness.max()
            kept.append(features[sharp & np.isfinite(features).all(axis=1)])
    count = sum(len(features) for features in kept)
    if count <= FEATURES:
        raise DataError(
            f"got {count} sharp patches of {PATCH_PX} px; wanted are more than {FEATURES}, "
            "better thousands: give more or larger photographs"
        )
    patches = np.concatenate(kept)
    return NaturalModel(patches.mean(axis=0), np.cov(patches, rowvar=False))


def measure_patches(image: Image) -> tuple[Floats, Floats]:
    """Features (N, 36) and sharpness (N,) of all whole patches of uint8 RGB ``image``."""
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64)
    height, width = (size // PATCH_PX * PATCH_PX for size in luma.shape)
    luma = luma[:height, :width]
    normalised, deviation = normalise(luma)
    features = [describe_patches(cut(normalised, PATCH_PX))]
    features.append(describe_patches(cut(normalise(_halve(luma))[0], PATCH_PX // 2)))
    return np.concatenate(features, axis=1), cut(deviation, PATCH_PX).mean(axis=(1, 2))


def normalise(luma: Floats) -> tuple[Floats, Floats]:
    """Luma (H, W) less its local mean, over its local deviation plus 1; and that deviation."""

    def smooth(values: Floats) -> Floats:
        blurred = cv2.GaussianBlur(values, (7, 7), 7.0 / 6.0, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(blurred, np.float64)

    mean = smooth(luma)
    deviation = np.sqrt(np.abs(smooth(luma * luma) - mean * mean))
    return (luma - mean) / (deviation + 1.0), deviation


def cut(values: Floats, side_px: int) -> Floats:
    """Patches (N, side, side) of ``values`` (H, W), whose sides are multiples of ``side_px``."""
    rows, columns = (size // side_px for size in values.shape)
    grid = values.reshape(rows, side_px, columns, side_px).transpose(0, 2, 1, 3)
    return grid.reshape(-1, side_px, side_px)


def describe_patches(patches: Floats) -> Floats:
    """18 features of each of ``patches`` (N, side, side): of pixels, and of neighbours' products.

    NaN where a patch is so flat that nothing can be fitted.
    """
    shape, left, right = fit_asymmetric(patches)
    features = [shape, (left + right) / 2.0]
    gamma = load("scipy.special", "train").gamma
    for shift in _SHIFTS:
        products = patches * np.roll(patches, shift, axis=(1, 2))
        shape, left, right = fit_asymmetric(products)
        mean = (right - left) * gamma(2.0 / shape) / gamma(1.0 / shape)
        features += [shape, mean, left, right]
    return np.stack(features, axis=1)


def fit_asymmetric(patches: Floats) -> tuple[Floats, Floats, Floats]:
    """Shape, left and right scale (N,) of the generalised Gaussian of each patch, by its moments.

    Lasmar, Stitou and Berthoumieu, "Multiscale skewed heavy tailed model for texture analysis",
    ICIP 2009. Shape 2 is a Gaussian, 1 a Laplacian.
    """
    gamma = load("scipy.special", "train").gamma
    values = patches.reshape(len(patches), -1)
    square = values * values
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.sqrt((square * (values < 0)).sum(axis=1) / (values < 0).sum(axis=1))
        right = np.sqrt((square * (values > 0)).sum(axis=1) / (values > 0).sum(axis=1))
        lean = left / right
        ratio = np.abs(values).mean(axis=1) ** 2 / square.mean(axis=1)
        wanted = ratio * (lean**3 + 1.0) * (lean + 1.0) / (lean**2 + 1.0) ** 2
    # The ratio rises with the shape, so that its inverse is read off between the grid's points.
    shape = np.interp(wanted, _ratios(), _SHAPES)
    scale = np.sqrt(gamma(1.0 / shape) / gamma(3.0 / shape))
    return shape, left * scale, right * scale


@lru_cache(maxsize=1)
def _ratios() -> Floats:
    gamma = load("scipy.special", "train").gamma
    return np.asarray(gamma(2.0 / _SHAPES) ** 2 / (gamma(1.0 / _SHAPES) * gamma(3.0 / _SHAPES)))


def _halve(luma: Floats) -> Floats:
    # Bicubic with antialiasing, as the authors shrink; OpenCV's bicubic would alias.
    pillow = load("PIL.Image", "train")
    height, width = luma.shape
    picture = pillow.fromarray(luma.astype(np.float32))
    half = picture.resize((width // 2, height // 2), pillow.Resampling.BICUBIC)
    return np.asarray(half, np.float64)


def read_model(path: Path) -> NaturalModel:
    """The natural model in ``path``, ``.npz`` or ``.mat``; raises DataError for another file."""
    try:
        data = path.read_bytes()
        if path.suffix == ".mat":
            arrays = load("scipy.io", "train").loadmat(io.BytesIO(data))
        else:
            with np.load(io.BytesIO(data), allow_pickle=False) as opened:
                arrays = dict(opened)
        names = next(names for names in _NAMES if set(names) <= set(arrays))
        mean, covariance = (np.asarray(arrays[name], np.float64) for name in names)
        return NaturalModel(
            mean.reshape(FEATURES), covariance.reshape(FEATURES, FEATURES), sha256(data)
        )
    except (OSError, ValueError, EOFError, NotImplementedError, StopIteration) as error:
        wanted = " or ".join(" and ".join(names) for names in _NAMES)
        raise DataError(
            f"{path} holds no natural model ({error or 'other names'}); wanted is .npz or .mat "
            f"with {wanted}; python -m train.naturalness makes one"
        ) from error


def write_model(path: Path, model: NaturalModel) -> None:
    """Write ``model`` as ``.npz``; raises OutputError."""
    data = io.BytesIO()
    np.savez(data, mu_pris_param=model.mean, cov_pris_param=model.covariance)
    write_whole(path, data.getvalue())
