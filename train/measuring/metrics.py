"""What pictures are measured by: distortion, perception, and distances between sets of pictures.

    psnr         peak signal-to-noise ratio in dB                              OpenCV
    ssim         structural similarity, Wang et al. 2004                       scikit-image
    blur_effect  how blurred without a reference, 0 to 1, Crete et al. 2007    scikit-image
    niqe         how unnatural without a reference, Mittal et al. 2013         niqe.py
    lpips        Zhang et al. 2018, AlexNet                                    torchmetrics
    fid, kid     Heusel et al. 2017; Binkowski et al. 2018                     torchmetrics

NIQE wants a model of natural pictures, given as a file; the last three fetch the weights of
networks. What cannot be opened is not measured, and the reason is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import MissingExtraError, OptionError
from train.extras import load
from train.measuring.niqe import SMALLEST_PX, niqe, read_model

Image = NDArray[np.uint8]
PictureMetric = Callable[[Image, Image], float]

# The paper's protocol: 15 patches of each 1280x720 picture.
PATCH_HEIGHT_PX, PATCH_WIDTH_PX = 240, 256
_KID_SUBSET = 1000


@dataclass(frozen=True)
class Metrics:
    """Metrics that could be opened, by name; ``missing`` says of each other one why not.

    Each of ``pictures`` is called with a deblurred and a sharp picture, uint8 (H, W, 3), and gives
    nan for a picture that is too small for it.
    """

    pictures: dict[str, PictureMetric] = field(default_factory=dict)
    sets: dict[str, PatchDistance] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def measure(self, image: Image, sharp: Image) -> dict[str, float]:
        """Every metric of ``image`` by name, without those that it is too small for."""
        values = {name: metric(image, sharp) for name, metric in self.pictures.items()}
        for name in [name for name, value in values.items() if math.isnan(value)]:
            del values[name]
            height, width = image.shape[:2]
            self.missing[name] = f"a picture of {width}x{height} is too small for it"
        return values


def psnr(a: Image, b: Image) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures of one shape; 361 where equal."""
    return float(cv2.PSNR(a, b))


def open_metrics(
    names: Sequence[str] | None = None, *, niqe_parameters: Path | None = None
) -> Metrics:
    """Open the named metrics (None: all but PSNR, which is always measured).

    ``niqe_parameters`` is the file of NIQE's natural model. Raises OptionError for an unknown name,
    and DataError where that file holds no such model.
    """
    metrics = Metrics()
    for name in NAMES if names is None else names:
        if name not in NAMES:
            raise OptionError(f"got metric '{name}'; wanted are some of {', '.join(NAMES)}")
        try:
            if name == "niqe":
                metrics.pictures[name] = _open_niqe(niqe_parameters)
            elif name in _SET_METRICS:
                metrics.sets[name] = open_distance(name)
            else:
                metrics.pictures[name] = _PICTURE_METRICS[name]()
        except MissingExtraError as error:
            metrics.missing[name] = str(error)
        except (OSError, RuntimeError, ValueError) as error:
            first = next(iter(str(error).splitlines()), type(error).__name__)
            metrics.missing[name] = f"its weights cannot be had: {first}"
    return metrics


def cut_patches(image: Image) -> NDArray[np.uint8]:
    """As many whole 256x240 patches as fit side by side, uint8 (N, 240, 256, 3)."""
    rows, columns = image.shape[0] // PATCH_HEIGHT_PX, image.shape[1] // PATCH_WIDTH_PX
    whole = image[: rows * PATCH_HEIGHT_PX, : columns * PATCH_WIDTH_PX]
    grid = whole.reshape(rows, PATCH_HEIGHT_PX, columns, PATCH_WIDTH_PX, 3)
    return np.ascontiguousarray(
        grid.transpose(0, 2, 1, 3, 4).reshape(-1, PATCH_HEIGHT_PX, PATCH_WIDTH_PX, 3)
    )


class PatchDistance:
    """A distance between the patches of deblurred and of sharp pictures, as torchmetrics computes.

    KID is given times 1000, as the paper prints it.
    """

    def __init__(self, name: str, distance: Any) -> None:
        self._is_kid = name == "kid"
        self._distance = distance
        self._patches = 0

    def add(self, deblurred: Image, sharp: Image) -> None:
        """Take the patches of both pictures in; one smaller than a patch adds nothing."""
        import torch

        for image, real in ((deblurred, False), (sharp, True)):
            patches = torch.from_numpy(cut_patches(image)).permute(0, 3, 1, 2)
            if len(patches):
                self._distance.update(patches, real=real)
        self._patches += len(cut_patches(sharp))

    def take(self) -> float | None:
        """The distance over all that was added, which is then forgotten; None below two patches."""
        value = self._compute() if self._patches >= 2 else None
        self._distance.reset()
        self._patches = 0
        return value

    def _compute(self) -> float:
        if not self._is_kid:
            return float(self._distance.compute())
        self._distance.subset_size = min(_KID_SUBSET, self._patches)
        mean, _ = self._distance.compute()
        return 1000.0 * float(mean)


def open_distance(name: str, features: Any = 2048) -> PatchDistance:
    """FID or KID over the Inception features, or over those of the module ``features``.

    Raises MissingExtraError, and OSError where the weights cannot be fetched.
    """
    module, kind = _SET_METRICS[name]
    library = load(module, "metrics")
    if features == 2048:
        load("torch_fidelity", "metrics")
    return PatchDistance(name, getattr(library, kind)(feature=features))


def _open_ssim() -> PictureMetric:
    compare = load("skimage.metrics", "train").structural_similarity
    return lambda a, b: float(compare(a, b, channel_axis=2))


def _open_blur_effect() -> PictureMetric:
    blur_effect = load("skimage.measure", "train").blur_effect
    return lambda a, _: float(blur_effect(a, channel_axis=2))


def _open_niqe(parameters: Path | None) -> PictureMetric:
    if parameters is None:
        raise MissingExtraError(
            "it wants a model of natural pictures; make one with python -m train.naturalness SHARP "
            "-o natural.npz, or take the authors', and give it as --niqe-parameters"
        )
    model = read_model(parameters)

    def measure(image: Image, _: Image) -> float:
        return math.nan if min(image.shape[:2]) < SMALLEST_PX else niqe(image, model)

    return measure


def _open_lpips() -> PictureMetric:
    load("torchvision", "metrics")
    kind = load("torchmetrics.image.lpip", "metrics").LearnedPerceptualImagePatchSimilarity
    metric = kind(net_type="alex", normalize=True)

    def measure(image: Image, sharp: Image) -> float:
        import torch

        first, second = (
            torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None].float() / 255.0
            for x in (image, sharp)
        )
        with torch.inference_mode():
            value = float(metric(first, second))
        metric.reset()
        return value

    return measure


_PICTURE_METRICS: dict[str, Callable[[], PictureMetric]] = {
    "ssim": _open_ssim,
    "blur_effect": _open_blur_effect,
    "lpips": _open_lpips,
}
_SET_METRICS = {
    "fid": ("torchmetrics.image.fid", "FrechetInceptionDistance"),
    "kid": ("torchmetrics.image.kid", "KernelInceptionDistance"),
}
NAMES = (*_PICTURE_METRICS, "niqe", *_SET_METRICS)
