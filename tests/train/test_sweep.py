"""The sweep: its grids, its points, what it recommends, and what it writes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.bundle import open_bundle
from runtime.engines import open_engine
from runtime.errors import BundleError, DataError
from runtime.images import read_image
from runtime.samplers import SamplerConfig, with_steps
from runtime.session import Session
from train.data.layouts import Pictures, find_pictures
from train.measuring.curve import (
    CSV,
    PICTURE,
    Point,
    PointFile,
    axis,
    draw,
    front,
    read_points,
    recommend,
)
from train.measuring.grids import GRIDS, Grid, paper_grid, short_grid
from train.measuring.metrics import Metrics, psnr
from train.presets import compile_preset, write_presets
from train.sweep import CIRCUMSTANCES, main, sweep

Image = NDArray[np.uint8]

GUESS = SamplerConfig("ancestral", "log-snr", 2, cleanest=9.0, noisiest=3.0, start="guess")
SMALL = Grid((SamplerConfig(steps=0), GUESS), (1, 3))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, photograph: Image) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    for index in range(2):
        sharp = photograph[64 * index : 64 * index + 32, 200:248, ::-1]
        for side, image in (("sharp", sharp), ("blur", cv2.blur(sharp, (5, 5)))):
            (folder / side).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / side / f"{index}.png"), image)
    return folder


def run(bundle: Path, pictures: Pictures, output: Path, grid: Grid = SMALL) -> list[Point]:
    opened = open_bundle(bundle)
    engine = open_engine("auto", opened)
    return sweep(opened, engine, pictures, grid, output, metrics=Metrics(), progress=False)


def make_point(psnr: float, gap: float | None, steps: int = 4, samples: int = 1) -> Point:
    fields = msgspec.structs.asdict(msgspec.structs.replace(GUESS, steps=steps))
    return Point(
        **fields, samples=samples, calls=steps * samples, psnr=psnr, ssim=None,
        blur_effect=gap, blur_gap=gap, lpips=None, niqe=None,
    )  # fmt: skip


def test_a_point_is_what_a_session_makes_of_the_pictures(
    pairs: Path, small_bundle: Path, tmp_path: Path
) -> None:
    pictures = find_pictures(pairs)
    bundle = tmp_path / "bundle"
    shutil.copytree(small_bundle, bundle)
    prediction = open_bundle(bundle).manifest.prediction
    write_presets(bundle, {"tried": compile_preset("two steps", 3, GUESS, prediction)})
    points = run(bundle, pictures, tmp_path)
    assert [(p.steps, p.samples, p.calls) for p in points] == [(0, 1, 0), (2, 1, 2), (2, 3, 6)]
    assert pictures.blurred is not None
    with Session(bundle) as session:
        for point, samples in zip(points[1:], (1, 3), strict=True):
            found = [
                psnr(read_image(s), session.deblur(read_image(b), preset="tried", samples=samples))
                for b, s in zip(pictures.blurred, pictures.sharp, strict=True)
            ]
            # A mean is summed up in another order, which may turn a tie of the rounding.
            assert point.psnr == pytest.approx(np.mean(found), abs=0.01)


def test_a_stopped_sweep_goes_on_where_it_was(
    pairs: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = find_pictures(pairs)
    first = run(small_bundle, pictures, tmp_path, replace(SMALL, samplers=SMALL.samplers[:1]))
    with (tmp_path / CSV).open("a") as file:
        file.write("ancestral,log-snr,2,0.5,9.")
    whole = run(small_bundle, pictures, tmp_path)
    assert whole[: len(first)] == first
    assert read_points(tmp_path / CSV) == whole

    def fail(*_: object) -> None:
        raise AssertionError("measured anew")

    monkeypatch.setattr("train.sweep.measure_sampler", fail)
    assert run(small_bundle, pictures, tmp_path) == whole


def test_the_command_draws_recommends_and_writes_presets(
    pairs: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(GRIDS, "quick", lambda: SMALL)
    bundle, output = tmp_path / "bundle", tmp_path / "sweep"
    shutil.copytree(small_bundle, bundle)
    arguments = [str(bundle), str(pairs), "-o", str(output), "--grid", "quick", "--write"]
    assert main(arguments) == 0
    record = json.loads((output / CIRCUMSTANCES).read_text())
    assert record["circumstances"]["pictures"] == 2
    presets = open_bundle(bundle).presets
    for name in ("distortion", "balanced", "realtime"):
        assert presets[name].sampler.steps == record["recommended"][name]["steps"] == 2
    assert "paper-sa" in presets
    if "not drawn" not in capsys.readouterr().out:
        assert read_image(output / PICTURE).size > 0
    # Writing presets changes the bundle's manifest, but not what was measured.
    assert main(arguments) == 0
    assert main([*arguments, "--seed", "1"]) == 2
    assert "another seed (0, not 1)" in capsys.readouterr().err


def test_presets_that_cannot_be_written_leave_the_bundle_as_it_was(
    small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(small_bundle, bundle)
    preset = compile_preset("two steps", 1, GUESS, "x0")
    broken = msgspec.structs.replace(preset, rows=((1.0, 2.0),))
    with pytest.raises(BundleError, match="7 numbers"):
        write_presets(bundle, {"broken": broken})
    assert "broken" not in open_bundle(bundle).presets
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_the_papers_grid_leaves_out_what_would_not_start_from_noise() -> None:
    grid = paper_grid()
    kept = {(sampler.steps, sampler.beta_end) for sampler in grid.samplers}
    assert {(10, 0.5), (500, 0.02)} <= kept
    assert (10, 0.2) not in kept
    assert "of 48 cells" in grid.left_out


def test_dpm_solver_2m_is_tried_on_evenly_spaced_levels_alone() -> None:
    samplers = (*paper_grid().samplers, *short_grid().samplers)
    assert {s.schedule for s in samplers if s.method == "dpm++2m"} == {"log-snr"}
    assert {s.method for s in samplers} == {"ancestral", "ddim", "dpm++2m"}


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


def test_the_papers_two_facts_have_grids_of_their_own() -> None:
    averaging, steps = GRIDS["averaging"](), GRIDS["steps"]()
    assert {sampler.steps for sampler in averaging.samplers} == {10}
    assert max(averaging.samples) == 8
    assert steps.samples == (1,)
    # All may start from pure noise.
    for sampler in steps.samplers:
        assert with_steps(sampler, sampler.steps) == sampler


def test_a_file_of_another_kind_is_no_curve(tmp_path: Path) -> None:
    path = tmp_path / CSV
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no curve"), PointFile(path):
        pass
