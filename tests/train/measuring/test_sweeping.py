"""A sweep: its points, and how it goes on after it was stopped."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime.bundle import open_bundle
from runtime.engines import open_engine
from runtime.images import read_image
from runtime.samplers import SamplerConfig
from runtime.session import Session
from train.data.layouts import Pictures, find_pictures
from train.measuring.grids import Grid
from train.measuring.metrics import Metrics, psnr
from train.measuring.points import CSV, Point, read_points
from train.measuring.sweeping import sweep
from train.presets import compile_preset, write_presets

GUESS = SamplerConfig("ancestral", "log-snr", 2, cleanest=9.0, noisiest=3.0, start="guess")
SMALL = Grid((SamplerConfig(steps=0), GUESS), (1, 3))


def run(bundle: Path, pictures: Pictures, output: Path, grid: Grid = SMALL) -> list[Point]:
    opened = open_bundle(bundle)
    engine = open_engine("auto", opened)
    return sweep(opened, engine, pictures, grid, output, metrics=Metrics(), progress=False)


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

    monkeypatch.setattr("train.measuring.sweeping.measure_sampler", fail)
    assert run(small_bundle, pictures, tmp_path) == whole
