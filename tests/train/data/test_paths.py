"""Where a camera is during an exposure."""

from __future__ import annotations

import numpy as np
import pytest

from train.config import BlurConfig
from train.data.paths import (
    WHOLE,
    Path,
    camera_path,
    drift_path,
    frame_spans,
    moments,
    positions_at,
    roll_path,
    shake_path,
)


@pytest.mark.parametrize("extent_px", [0.5, 5.0, 24.0])
@pytest.mark.parametrize("kind", ["shake", "drift"])
def test_a_path_has_the_extent_asked_for_and_is_centred(kind: str, extent_px: float) -> None:
    rng = np.random.default_rng(0)
    path = shake_path(rng, extent_px) if kind == "shake" else drift_path(rng, extent_px, 0.3)
    assert np.ptp(path, axis=0).max() == pytest.approx(extent_px)
    assert path.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-9)


def test_a_hand_that_never_turns_draws_a_straight_line() -> None:
    steady = BlurConfig(restlessness_max=0.0, jerk_probability_max=0.0)
    path = shake_path(np.random.default_rng(4), 20.0, steady)
    sideways = np.linalg.svd(path)[1][1] / np.sqrt(len(path))
    assert sideways < 0.1


def turns(path: Path) -> int:
    """How often one coordinate reverses its direction."""
    return int(np.count_nonzero(np.diff(np.sign(np.diff(path[:, 0])))))


def test_a_drift_turns_less_the_longer_it_keeps_its_velocity() -> None:
    often, seldom, never = (
        np.mean([turns(drift_path(np.random.default_rng(s), 20.0, length)) for s in range(40)])
        for length in (0.05, 0.5, 20.0)
    )
    assert often > 2 * seldom > 0
    assert never < 0.3


def test_a_drift_slows_down_where_it_turns() -> None:
    """A shake keeps its speed; a camera with mass does not."""

    def unevenness(path: Path) -> float:
        speed = np.linalg.norm(np.diff(path, axis=0), axis=1)
        return float(speed.std() / speed.mean())

    seeds = range(20)
    shakes = [unevenness(shake_path(np.random.default_rng(s), 20.0)) for s in seeds]
    drifts = [unevenness(drift_path(np.random.default_rng(s), 20.0, 0.2)) for s in seeds]
    assert np.mean(drifts) > 2 * np.mean(shakes)


def test_video_is_sharp_where_the_camera_is_in_the_middle_of_the_exposure() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        path = camera_path(rng, 20.0, BlurConfig(), like_video=True)
        assert path[len(path) // 2].tolist() == [0.0, 0.0]


def test_a_photograph_is_sharp_at_the_centre_of_its_blur() -> None:
    for fraction in (0.0, 1.0):
        path = camera_path(np.random.default_rng(1), 20.0, BlurConfig(drift_fraction=fraction))
        assert path.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-9)


def test_drifts_are_of_the_share_asked_for() -> None:
    config = BlurConfig(drift_fraction=0.5)
    paths = [camera_path(np.random.default_rng(s), 20.0, config) for s in range(200)]
    speeds = [np.linalg.norm(np.diff(path, axis=0), axis=1) for path in paths]
    drifts = sum(float(speed.max() / speed.min()) > 2.0 for speed in speeds)
    assert 70 < drifts < 130


def test_a_roll_path_spans_its_extent_around_zero() -> None:
    roll = roll_path(np.random.default_rng(2), 1.5, 96)
    assert np.ptp(roll) == pytest.approx(1.5)
    assert roll.mean() == pytest.approx(0.0, abs=1e-12)
    # A hand does not jump: neighbouring moments are close.
    assert np.abs(np.diff(roll)).max() < 0.2


def test_the_roll_of_video_is_none_in_the_middle_of_the_exposure() -> None:
    roll = roll_path(np.random.default_rng(2), 1.5, 96, like_video=True)
    assert np.ptp(roll) == pytest.approx(1.5)
    assert roll[48] == 0.0


@pytest.mark.parametrize("seed", range(20))
def test_frames_follow_each_other_about_the_middle_one(seed: int) -> None:
    spans = frame_spans(np.random.default_rng(seed))
    assert len(spans) in (7, 9, 11, 13)
    assert spans[len(spans) // 2].mean() == pytest.approx(0.5)
    assert np.diff(spans.ravel()).min() > -1e-9
    assert spans.min() >= 0.0
    assert spans.max() <= 1.0


def test_a_third_of_the_videos_has_no_gap_between_frames() -> None:
    spans = [frame_spans(np.random.default_rng(seed)) for seed in range(300)]
    gapless = sum(bool(np.isclose(each[1, 0], each[0, 1])) for each in spans)
    assert 70 < gapless < 130


def test_moments_lie_evenly_within_their_spans() -> None:
    assert moments(WHOLE, np.array([4])) == pytest.approx([0.125, 0.375, 0.625, 0.875])
    spans = np.array([[0.0, 0.2], [0.6, 1.0]])
    assert moments(spans, np.array([1, 2])) == pytest.approx([0.1, 0.7, 0.9])


def test_between_its_points_a_path_is_straight() -> None:
    path = np.array([[0.0, 0.0], [2.0, 4.0], [2.0, 8.0]])
    found = positions_at(path, np.array([0.0, 0.25, 0.75, 1.0]))
    assert found == pytest.approx(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 6.0], [2.0, 8.0]]))
