"""The curve: its best points, what they are judged by, and the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime.errors import DataError
from runtime.images import read_image
from runtime.samplers import SamplerConfig
from train.measuring.curve import axis, draw, front, recommend
from train.measuring.others import PAPER_ROWS
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


def drawn_axes(monkeypatch: pytest.MonkeyPatch, point: Point, path: Path) -> list[Any]:
    """The axes of the picture that is drawn of ``point`` beside the paper's rows."""
    figure = pytest.importorskip("matplotlib.figure").Figure
    figures = []

    def keep(**options: Any) -> Any:
        figures.append(figure(**options))
        return figures[0]

    monkeypatch.setattr("matplotlib.figure.Figure", keep)
    draw(path, [point], {}, PAPER_ROWS)
    return figures[0].axes


def test_the_papers_points_are_drawn_on_axes_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = msgspec.structs.replace(make_point(25.0, 0.3), niqe=4.5)
    ours, papers = drawn_axes(monkeypatch, point, tmp_path / "curve.png")
    places = {
        tuple(float(x) for x in dots.get_offsets()[0]): dots.get_label()
        for dots in papers.collections
    }
    assert places == {
        (31.66, 3.39): "DvSR, paper, GoPro test set",
        (33.23, 4.07): "DvSR-SA, paper, GoPro test set",
    }
    assert "another NIQE model" in papers.get_title()
    assert not any([31.66, 3.39] in dots.get_offsets().tolist() for dots in ours.collections)
    assert read_image(tmp_path / "curve.png").size > 0


def test_the_papers_points_are_left_out_where_it_has_no_such_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The paper gives no blur effect.
    assert len(drawn_axes(monkeypatch, make_point(25.0, 0.3), tmp_path / "curve.png")) == 1


def test_a_file_of_another_kind_is_no_curve(tmp_path: Path) -> None:
    path = tmp_path / CSV
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no curve"), PointFile(path):
        pass
