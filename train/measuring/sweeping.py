"""Every sampler of a grid on every pair: the points of the curve, measured once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from runtime.bundle import Bundle
from runtime.engines import Engine
from runtime.errors import DataError
from runtime.images import read_image
from runtime.samplers import SamplerConfig, compile_table
from train.data.layouts import Pictures
from train.extras import load
from train.measuring.grids import Grid, describe
from train.measuring.metrics import Image, Metrics, psnr
from train.measuring.points import CSV, Point, PointFile
from train.measuring.sampling import Pair, average_samples, to_pair


def measure_sampler(
    engine: Engine,
    bundle: Bundle,
    pairs: Sequence[Pair],
    sampler: SamplerConfig,
    samples: Sequence[int],
    metrics: Metrics,
    seed: int,
) -> list[Point]:
    """One point for each number of ``samples``: the first ones of the largest are drawn once."""
    table = compile_table(sampler, bundle.manifest.prediction)
    # Without steps all samples are the predictor's picture.
    counts = sorted(samples) if table.steps else [1]
    values: dict[int, list[dict[str, float]]] = {count: [] for count in counts}
    for pair in pairs:
        for count, picture in average_samples(engine, pair, table, counts, seed):
            values[count].append(_measure(picture, pair.sharp, metrics))
    return [_to_point(sampler, count, values[count]) for count in counts]


def _measure(picture: Image, sharp: Image, metrics: Metrics) -> dict[str, float]:
    values = metrics.measure(picture, sharp)
    if "blur_effect" in values:
        wanted = metrics.pictures["blur_effect"](sharp, sharp)
        values["blur_gap"] = abs(values["blur_effect"] - wanted)
    return {"psnr": psnr(sharp, picture), **values}


def _to_point(sampler: SamplerConfig, samples: int, values: list[dict[str, float]]) -> Point:
    names = [name for name in values[0] if all(name in v for v in values)]
    means = {name: round(float(np.mean([v[name] for v in values])), 5) for name in names}
    return Point(
        **msgspec.structs.asdict(sampler),
        samples=samples,
        calls=samples * sampler.steps,
        psnr=means["psnr"],
        ssim=means.get("ssim"),
        blur_effect=means.get("blur_effect"),
        blur_gap=means.get("blur_gap"),
        lpips=means.get("lpips"),
        niqe=means.get("niqe"),
    )


def sweep(
    bundle: Bundle,
    engine: Engine,
    pictures: Pictures,
    grid: Grid,
    output: Path,
    *,
    metrics: Metrics,
    seed: int = 0,
    progress: bool = True,
) -> list[Point]:
    """Measure what ``output`` does not hold yet of ``grid``, and return the grid's points.

    Raises DataError without pairs, and where the curve of ``output`` is a file of another kind.
    """
    with PointFile(output / CSV) as file:
        known = {(point.sampler, point.samples) for point in file.points}
        missing = [s for s in grid.samplers if not _wanted(s, grid) <= known]
        if missing:
            pairs = _read_pairs(bundle, engine, pictures)
        # Steps are what takes the time; a bar of samplers would crawl at the end.
        bar = load("tqdm", "train").tqdm(
            total=sum(max(1, s.steps) for s in missing), unit="step", disable=not progress
        )
        with bar:
            for sampler in missing:
                bar.set_postfix_str(describe(sampler), refresh=True)
                points = measure_sampler(
                    engine, bundle, pairs, sampler, grid.samples, metrics, seed
                )
                file.append([p for p in points if (p.sampler, p.samples) not in known])
                bar.update(max(1, sampler.steps))
        wanted = {key for sampler in grid.samplers for key in _wanted(sampler, grid)}
        return [point for point in file.points if (point.sampler, point.samples) in wanted]


def _wanted(sampler: SamplerConfig, grid: Grid) -> set[tuple[SamplerConfig, int]]:
    return {(sampler, count) for count in (grid.samples if sampler.steps else (1,))}


def _read_pairs(bundle: Bundle, engine: Engine, pictures: Pictures) -> list[Pair]:
    if pictures.blurred is None:
        raise DataError("got sharp pictures alone; wanted are the folders blur/ and sharp/")
    multiple_px = bundle.manifest.size_multiple_px
    return [
        to_pair(engine, read_image(blurred), read_image(sharp), multiple_px)
        for blurred, sharp in zip(pictures.blurred, pictures.sharp, strict=True)
    ]
