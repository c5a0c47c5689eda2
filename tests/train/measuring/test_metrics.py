"""Metrics beside PSNR: what they measure, and what happens where they can't be had."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from runtime.errors import OptionError
from train.extras import MissingExtraError, load
from train.measuring.metrics import cut_patches, open_distance, open_metrics, psnr

Image = NDArray[np.uint8]


class MeanColour(torch.nn.Module):
    """Three features of a picture: enough to compute a distance between sets."""

    num_features = 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().mean(dim=(2, 3)) / 255.0


def test_psnr_is_that_of_the_formula() -> None:
    a, b = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 51, np.uint8)
    assert psnr(a, b) == pytest.approx(20.0 * np.log10(5.0))


def test_blurring_lowers_similarity_and_raises_the_blur_effect(photograph: Image) -> None:
    metrics = open_metrics(["ssim", "blur_effect"]).pictures
    sharp = photograph[:96, 180:276]
    blurred = cv2.blur(sharp, (7, 7))
    assert metrics["ssim"](sharp, sharp) == pytest.approx(1.0)
    assert metrics["ssim"](blurred, sharp) < 0.95
    assert metrics["blur_effect"](blurred, sharp) > metrics["blur_effect"](sharp, sharp) + 0.05


def test_a_picture_too_small_for_a_metric_is_measured_by_the_others(
    natural: Path, photograph: Image
) -> None:
    metrics = open_metrics(["niqe", "blur_effect"], niqe_parameters=natural)
    image = photograph[:191, :400]
    assert list(metrics.measure(image, image)) == ["blur_effect"]
    assert metrics.missing == {"niqe": "a picture of 400x191 is too small for it"}


def test_niqe_without_a_natural_model_says_how_to_make_one() -> None:
    metrics = open_metrics(["niqe"])
    assert not metrics.pictures
    assert "python -m train.naturalness" in metrics.missing["niqe"]


def test_a_720p_picture_has_the_papers_15_patches() -> None:
    image = np.zeros((720, 1280, 3), np.uint8)
    image[240:480, 256:512] = 7
    patches = cut_patches(image)
    assert patches.shape == (15, 240, 256, 3)
    # Row by row: the sixth is the second of the second row.
    assert [int(patch.max()) for patch in patches].index(7) == 6


def test_a_picture_below_a_patch_has_none() -> None:
    assert len(cut_patches(np.zeros((239, 500, 3), np.uint8))) == 0


@pytest.mark.parametrize("name", ["fid", "kid"])
def test_distances_between_sets_grow_with_what_differs(name: str) -> None:
    pytest.importorskip("torchmetrics")
    distance = open_distance(name, MeanColour())
    rng = np.random.default_rng(0)
    found = []
    for shift in (0, 100):
        for _ in range(4):
            sharp = rng.integers(0, 100) + rng.integers(0, 16, (240, 512, 3))
            deblurred = np.clip(sharp + shift, 0, 255)
            distance.add(deblurred.astype(np.uint8), sharp.astype(np.uint8))
        found.append(distance.take())
    same, shifted = found
    assert abs(same) < 0.5 * shifted
    assert distance.take() is None


def test_a_metric_without_its_library_is_named_with_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    metrics = open_metrics(["lpips", "ssim"])
    assert list(metrics.pictures) == ["ssim"]
    assert "dvsr-edge[metrics]" in metrics.missing["lpips"]


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(OptionError, match="blur_effect"):
        open_metrics(["beauty"])


def test_an_optional_library_that_is_missing_is_one_line_with_what_to_type() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'dvsr-edge\[metrics\]'"):
        load("no_such_library", "metrics")
