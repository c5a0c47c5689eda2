"""The curve: its best points, what they are judged by, and the picture."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from runtime.errors import DataError
from runtime.images import read_image
from runtime.samplers import SamplerConfig
from train.measuring.curve import axis, draw, front, recommend
from train.measuring.points import CSV, Point, PointFile

GUESS = SamplerConfig("ancestral", "log-snr", 2, cleanest=9.0, noisiest=3.0, start="guess")


def make_point(psnr: float, gap: float | None, steps: int = 4, samples: int = 1) -> Point:
    fields = msgspec.structs.asdict(msgspec.structs.replace(GUESS, steps=steps))
    return Point(
        **fields, samples=samples, calls=steps * samples, psnr=psnr, ssim=None,
        blur_effect=gap, blur_gap=gap, lpips=None, niqe=None,
    )  # fmt: skip


def test_the_recommendations_are_the_ends_and_the_knee_of_the_curve() -> None:
    best = make_point(25.0, 0.30, 10, 8)
    cheaper = make_point(24.995, 0.31, 10, 2)
    knee = make_point(24.8, 0.11, 10, 1)
    sharpest = make_point(22.0, 0.10, 20, 1)
    beaten = make_point(24.7, 0.20, 10, 3)
    fast = make_point(24.0, 0.40, 2, 1)
    predictor = make_point(26.0, 0.5, 0, 1)
    points = [sharpest, fast, beaten, knee, best, cheaper, predictor]
    assert recommend(points) == {"distortion": cheaper, "balanced": knee, "realtime": fast}
    assert front(points) == [predictor, best, knee, sharpest]


def test_without_a_measure_of_perception_balanced_is_the_best_it_can_afford() -> None:
    points = [make_point(25.0, None, 10, 8), make_point(24.0, None, 10, 4)]
    assert recommend(points)["balanced"] == points[1]
    assert "realtime" not in recommend(points)


def test_perception_is_judged_by_the_best_metric_that_all_points_have() -> None:
    plain = make_point(25.0, 0.30)
    natural = msgspec.structs.replace(plain, niqe=4.0)
    assert axis([natural, natural]) == "niqe"
    # A sweep may have gone on after a library was installed: scales are never mixed.
    assert axis([natural, plain]) == "blur_gap"
    assert axis([make_point(25.0, None)]) is None


def test_other_methods_are_drawn_on_axes_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = [msgspec.structs.replace(make_point(25.0 + n, 0.3), niqe=4.0 + n) for n in range(2)]
    for name, others in (("alone", {}), ("beside", {"another": {"psnr": 31.0, "niqe": 3.5}})):
        draw(tmp_path / name, points, {}, others)
    widths = [read_image(tmp_path / name).shape[1] for name in ("alone", "beside")]
    assert widths[1] == 1.5 * widths[0]


def test_a_file_of_another_kind_is_no_curve(tmp_path: Path) -> None:
    path = tmp_path / CSV
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no curve"), PointFile(path):
        pass
