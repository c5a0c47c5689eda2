from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from train.config import BlurConfig
from train.data.blur import blur_sample, motion_kernel

CLEAN = BlurConfig(
    identity_fraction=0.0, display_light_fraction=0.0, read_noise_max=0.0, shot_noise_max=0.0
)


def test_a_kernel_sums_to_one_and_keeps_the_centre() -> None:
    path = np.array([[-2.0, 0.0], [2.0, 0.0]])
    kernel = motion_kernel(path)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-5)
    rows, columns = np.indices(kernel.shape) - (kernel.shape[0] - 1) / 2
    assert ((kernel * rows).sum(), (kernel * columns).sum()) == pytest.approx((0, 0), abs=1e-3)


def test_a_camera_that_stands_still_does_not_blur() -> None:
    kernel = motion_kernel(np.zeros((10, 2)))
    assert kernel.max() == pytest.approx(1.0)


def test_where_the_shutter_closes_between_frames_a_stroke_falls_into_dots() -> None:
    path = np.array([[-12.0, 0.0], [12.0, 0.0]])
    middles = (np.arange(7) + 0.5) / 7
    row = motion_kernel(path, np.stack([middles - 0.01, middles + 0.01], axis=1))[13]
    assert np.count_nonzero((row > 0.02) & (row > np.roll(row, 1)) & (row >= np.roll(row, -1))) == 7
    assert np.count_nonzero(row == 0.0) > 7


def test_frames_without_gaps_are_one_stroke() -> None:
    path = np.array([[-12.0, 0.0], [12.0, 6.0]])
    edges = np.arange(8) / 7
    frames = motion_kernel(path, np.stack([edges[:-1], edges[1:]], axis=1))
    assert frames == pytest.approx(motion_kernel(path), abs=0.01)


def test_light_is_averaged_and_not_grey_levels() -> None:
    """Half black, half white in equal light is 188 of 255 on a display, not 128."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    seeds = [blur_sample(stripes, np.random.default_rng(s), CLEAN) for s in range(8)]
    strongest = min(seeds, key=lambda image: float(image.std()))
    assert strongest[16:48, 16:48].mean() == pytest.approx(188, abs=4)


def test_video_is_averaged_as_displayed_more_often_than_not() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    samples = [
        blur_sample(stripes, np.random.default_rng(s), CLEAN, like_video=True) for s in range(40)
    ]
    smeared = [image[16:48, 16:48] for image in samples if image[16:48, 16:48].std() < 20]
    displayed = [abs(image.mean() - 128) < 12 for image in smeared]
    assert len(smeared) > 10
    assert 0.6 < np.mean(displayed) < 1.0


def test_video_is_noisy_as_a_mean_of_frames_and_not_as_one_exposure() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    config = BlurConfig(identity_fraction=0.0, read_noise_max=20.0, shot_noise_max=0.0)

    def noise(*, like_video: bool) -> float:
        generators = map(np.random.default_rng, range(30))
        samples = [blur_sample(grey, rng, config, like_video=like_video) for rng in generators]
        return float(np.mean([sample.std() for sample in samples]))

    assert 0.2 < noise(like_video=True) / noise(like_video=False) < 0.5


def test_blur_takes_detail_away(photograph: NDArray[np.uint8]) -> None:
    config = BlurConfig(longest_px=24.0, identity_fraction=0.0)
    blurred = blur_sample(photograph, np.random.default_rng(1), config)
    assert np.abs(np.diff(blurred.astype(int), axis=1)).mean() < (
        0.8 * np.abs(np.diff(photograph.astype(int), axis=1)).mean()
    )


def test_the_same_generator_gives_the_same_blur(photograph: NDArray[np.uint8]) -> None:
    first, second = (
        blur_sample(photograph, np.random.default_rng(5), BlurConfig()) for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_identity_samples_are_left_as_they_are(photograph: NDArray[np.uint8]) -> None:
    config = BlurConfig(identity_fraction=1.0)
    assert np.array_equal(blur_sample(photograph, np.random.default_rng(0), config), photograph)
