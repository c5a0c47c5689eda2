"""Roll, defocus, highlights and JPEG: each alone does what its name says."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from runtime.errors import OptionError
from train.config import BLURS, BlurConfig
from train.data.blur import (
    average_warps,
    blur_sample,
    brighten_highlights,
    compress,
    disc_kernel,
    motion_kernel,
    reach_px,
)
from train.data.paths import WHOLE, Spans, frame_spans, shake_path

Image = NDArray[np.uint8]

CLEAN = BlurConfig(identity_fraction=0.0, read_noise_max=0.0, shot_noise_max=0.0)


@pytest.fixture(scope="module")
def picture() -> Image:
    return np.ascontiguousarray(skimage.data.astronaut()[100:228, 150:310])


def dots(height_px: int, width_px: int) -> NDArray[np.float32]:
    light = np.zeros((height_px, width_px, 3), np.float32)
    light[16::32, 16::32] = 1.0
    return light


@pytest.mark.parametrize("name", BLURS)
def test_a_sample_is_a_function_of_its_generator(picture: Image, name: str) -> None:
    for seed in range(8):
        first, second = (
            blur_sample(picture, np.random.default_rng(seed), BLURS[name]) for _ in range(2)
        )
        assert first.shape == picture.shape
        assert first.dtype == np.uint8
        assert np.array_equal(first, second)


def test_an_effect_that_never_happens_changes_no_sample(picture: Image) -> None:
    idle = BlurConfig(longest_rotation_deg=3.0, defocus_radius_px=4.0, highlight_gain_max=9.0)
    for seed in range(8):
        plain, unused = (
            blur_sample(picture, np.random.default_rng(seed), config)
            for config in (BlurConfig(), idle)
        )
        assert np.array_equal(plain, unused)


@pytest.mark.parametrize(
    "effect",
    [
        {"rotation_fraction": 1.0, "longest_rotation_deg": 3.0},
        {"defocus_fraction": 1.0, "defocus_radius_px": 4.0},
        {"highlight_fraction": 1.0, "highlight_gain_max": 9.0},
        {"jpeg_fraction": 1.0, "jpeg_quality_min": 10},
    ],
)
def test_each_effect_changes_a_sample(picture: Image, effect: dict[str, float]) -> None:
    bright = np.maximum(picture, np.where(np.arange(160) % 40 < 4, 255, 0)[None, :, None])
    bright = bright.astype(np.uint8)
    changed = blur_sample(bright, np.random.default_rng(1), replace(CLEAN, **effect))
    plain = blur_sample(bright, np.random.default_rng(1), CLEAN)
    assert not np.array_equal(changed, plain)


@pytest.mark.parametrize("spans", [WHOLE, frame_spans(np.random.default_rng(1))])
def test_without_roll_the_average_of_warps_is_the_motion_kernel(
    picture: Image, spans: Spans
) -> None:
    path = shake_path(np.random.default_rng(3), 12.0)
    light = (picture / 255.0).astype(np.float32)
    warped = average_warps(light, path, np.zeros(len(path)), (0.0, 0.0), spans)
    # Correlation with the kernel fetches from where the path points, warping moves light there.
    filtered = cv2.filter2D(light, -1, motion_kernel(path, spans)[::-1, ::-1])
    inner = np.s_[20:-20, 20:-20]
    # 64 bilinear warps sample the path more coarsely than the kernel's quarter pixels.
    assert np.abs(warped - filtered)[inner].mean() < 0.01


def test_roll_leaves_the_axis_alone_and_smears_what_is_far_from_it() -> None:
    light = dots(128, 256)
    still = np.zeros((50, 2))
    roll = np.radians(np.linspace(-2.0, 2.0, 50))
    averaged = average_warps(light, still, roll, (16.0, 16.0))
    near, far = averaged[16, 16, 0], averaged[100:125, 228:254, 0].max()
    assert near == pytest.approx(1.0, abs=1e-3)
    assert far < 0.3


def test_averaging_warps_keeps_the_light() -> None:
    grey = np.full((40, 50, 3), 0.25, np.float32)
    path, roll = shake_path(np.random.default_rng(0), 9.0), np.linspace(-0.1, 0.1, 96)
    assert np.allclose(average_warps(grey, path, roll, (400.0, 300.0)), 0.25, atol=1e-5)


@pytest.mark.parametrize("radius_px", [0.5, 1.0, 2.7, 6.0])
def test_a_disc_has_unit_sum_and_the_area_of_its_radius(radius_px: float) -> None:
    kernel = disc_kernel(radius_px)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-5)
    assert np.array_equal(kernel, kernel.T)
    # The soft rim widens the disc by up to half a pixel.
    equivalent = np.sqrt(1.0 / (kernel**2).sum() / np.pi)
    assert abs(equivalent - radius_px) < 0.6


def test_only_clipped_pixels_are_brightened() -> None:
    sharp = np.full((2, 2, 3), 200, np.uint8)
    sharp[0, 0] = 255
    sharp[1, 1] = (255, 255, 100)
    brighter = brighten_highlights(np.ones((2, 2, 3), np.float32), sharp, 5.0)
    assert brighter[..., 0].tolist() == [[5.0, 1.0], [1.0, 1.0]]


def test_a_blurred_lamp_stays_white_where_its_streak_would_be_grey() -> None:
    lamp = np.zeros((64, 64, 3), np.uint8)
    lamp[28:36, 28:36] = 255
    config = replace(CLEAN, highlight_fraction=1.0, highlight_gain_max=40.0)
    white = [
        np.count_nonzero(blur_sample(lamp, np.random.default_rng(seed), config) == 255)
        for seed in range(6)
    ]
    grey = [
        np.count_nonzero(blur_sample(lamp, np.random.default_rng(seed), CLEAN) == 255)
        for seed in range(6)
    ]
    assert sum(white) > 2 * sum(grey)


def test_jpeg_keeps_colours_in_their_channels(picture: Image) -> None:
    coded = compress(picture, 95)
    assert cv2.PSNR(coded, picture) > 30.0


def test_blur_reaches_as_far_as_shake_roll_and_defocus_together() -> None:
    assert reach_px(BlurConfig(longest_px=24.0), 720, 1280) == 24
    both = BlurConfig(longest_px=24.0, longest_rotation_deg=1.0, defocus_radius_px=3.0)
    assert reach_px(both, 600, 800) == 24 + 9 + 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"rotation_fraction": 0.5},
        {"defocus_fraction": 0.5},
        {"highlight_fraction": 0.5},
        {"jpeg_quality_min": 0},
    ],
)
def test_an_effect_without_a_strength_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=r"must be above|wanted is"):
        BlurConfig(**wrong)  # type: ignore[arg-type]
