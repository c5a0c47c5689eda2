"""``python -m train.sweep``: measure many samplers of a bundle, draw the curve, recommend presets.

A sweep can be stopped and started again: what ``curve.csv`` of the output holds is not measured
anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle, Preset, find_bundle, open_bundle
from runtime.command import run_command
from runtime.engines import Engine, open_engine
from runtime.errors import DataError, MissingExtraError, OptionError
from runtime.files import to_json, write_whole
from runtime.images import from_model, read_image
from runtime.samplers import SamplerConfig, Table, compile_table
from runtime.version import __version__
from train.data.layouts import Pictures, find_pictures
from train.evaluate import add_niqe_parameters, checksum_of, take_evenly
from train.extras import load
from train.measuring.curve import (
    AXES,
    CSV,
    PICTURE,
    Point,
    PointFile,
    axis,
    draw,
    perception,
    recommend,
)
from train.measuring.grids import GRIDS, Grid, describe
from train.measuring.metrics import Image, Metrics, open_metrics, psnr
from train.measuring.sampling import draw_residuals, prepare
from train.measuring.scores import read_others
from train.presets import compile_preset, write_presets
from train.provenance import commit, fingerprint, versions

CIRCUMSTANCES = "sweep.json"
METRICS = ("ssim", "blur_effect", "lpips", "niqe")

Floats = NDArray[np.float32]


class Circumstances(msgspec.Struct, frozen=True):
    """What all points of a curve have in common; points of others cannot stand beside them."""

    graphs_sha256: tuple[str, str]
    prediction: str
    data_sha256: str
    pictures: int
    seed: int
    niqe_parameters: str | None = None


class Record(msgspec.Struct, frozen=True):
    """What ``sweep.json`` holds: the circumstances, and what has no influence on the points."""

    made_by: str
    commit: str | None
    bundle: str
    engine: str
    data: str
    circumstances: Circumstances
    versions: dict[str, str]
    not_measured: dict[str, str]
    recommended: dict[str, Point] = {}


@dataclass(frozen=True)
class Pair:
    """A blurred and a sharp picture, what the networks get, and what the predictor makes of it."""

    sharp: Image
    y: Floats
    guess: Floats


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


def average_samples(
    engine: Engine, pair: Pair, table: Table, counts: Sequence[int], seed: int
) -> Iterator[tuple[int, Image]]:
    """The pictures of the first ``counts`` (rising) samples averaged, each with its count."""
    height, width = pair.sharp.shape[:2]
    residuals = draw_residuals(engine, pair.y, table, seed)
    total = np.zeros_like(pair.y)
    drawn = 0
    for count in counts:
        while drawn < count:
            total += next(residuals)
            drawn += 1
        yield count, from_model(pair.guess + total / np.float32(count))[:height, :width]


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
        method=sampler.method,
        schedule=sampler.schedule,
        steps=sampler.steps,
        beta_end=sampler.beta_end,
        cleanest=sampler.cleanest,
        noisiest=sampler.noisiest,
        eta=sampler.eta,
        start=sampler.start,
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

    Raises DataError without pairs, and OptionError where ``output`` holds another sweep.
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
    pairs = []
    for blurred, sharp in zip(pictures.blurred, pictures.sharp, strict=True):
        y = prepare(read_image(blurred), bundle.manifest.size_multiple_px)
        pairs.append(Pair(read_image(sharp), y, engine.predict(y)))
    return pairs


def check_circumstances(output: Path, wanted: Circumstances) -> None:
    """Raise OptionError where ``output`` holds a sweep of another bundle, data set or seed."""
    path = output / CIRCUMSTANCES
    if not path.exists():
        return
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Record).circumstances
    except msgspec.MsgspecError as error:
        raise DataError(f"{path} cannot be read: {error}; choose another output") from error
    for name in Circumstances.__struct_fields__:
        if getattr(found, name) != getattr(wanted, name):
            raise OptionError(
                f"{output} holds a sweep with another {name.replace('_', ' ')} "
                f"({getattr(found, name)}, not {getattr(wanted, name)}); choose another output"
            )


def to_presets(chosen: Mapping[str, Point], bundle: Bundle) -> dict[str, Preset]:
    """The recommended points as presets of ``bundle``, by name."""
    return {
        name: compile_preset(
            f"{describe(point.sampler)}, {_samples(point.samples)}",
            point.samples,
            point.sampler,
            bundle.manifest.prediction,
        )
        for name, point in chosen.items()
    }


def _samples(count: int) -> str:
    return "one sample" if count == 1 else f"{count} samples averaged"


def build_parser() -> argparse.ArgumentParser:
    """All options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m train.sweep", description=__doc__)
    parser.add_argument("bundle", help="bundle directory, or the name of a shipped bundle")
    parser.add_argument("data", type=Path, help="pairs, as python -m train takes them")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the sweep")
    parser.add_argument(
        "--grid", choices=GRIDS, nargs="+", default=["short"], help="samplers to try"
    )
    parser.add_argument("--pictures", type=int, metavar="N", help="every k-th pair, N in all")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("--blur-kind", metavar="NAME", help="kind of blur, such as blur_gamma")
    parser.add_argument("--engine", default="auto")
    add_niqe_parameters(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--most-calls",
        type=int,
        default=40,
        metavar="N",
        help="calls of the denoiser that the preset 'balanced' may take",
    )
    parser.add_argument("--beside", type=Path, metavar="CSV", help="other methods to draw in")
    parser.add_argument(
        "--write", action="store_true", help="put the recommended presets into the bundle"
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Sweep, draw, recommend, and write presets if asked to; raises DvsrError."""
    others = read_others(arguments.beside) if arguments.beside else {}
    bundle = open_bundle(arguments.bundle)
    everything = find_pictures(arguments.data, split=arguments.split, blur=arguments.blur_kind)
    pictures = take_evenly(everything, arguments.pictures)
    metrics = open_metrics(METRICS, niqe_parameters=arguments.niqe_parameters)
    engine = open_engine(arguments.engine, bundle)
    record = _describe(arguments, bundle, engine, pictures, metrics)
    arguments.output.mkdir(parents=True, exist_ok=True)
    check_circumstances(arguments.output, record.circumstances)
    write_whole(arguments.output / CIRCUMSTANCES, to_json(record))
    points: list[Point] = []
    for name in arguments.grid:
        grid = GRIDS[name]()
        if grid.left_out:
            print(f"grid {name}: {grid.left_out}; left out")
        found = sweep(
            bundle, engine, pictures, grid, arguments.output, metrics=metrics, seed=arguments.seed
        )
        points += [point for point in found if point not in points]
    chosen = recommend(points, calls=arguments.most_calls)
    record = msgspec.structs.replace(record, recommended=chosen)
    write_whole(arguments.output / CIRCUMSTANCES, to_json(record))
    _say(points, chosen, metrics)
    _draw(arguments.output / PICTURE, points, chosen, others)
    if arguments.write:
        directory = find_bundle(arguments.bundle)
        write_presets(directory, to_presets(chosen, bundle))
        print(f"wrote the presets {', '.join(chosen)} into {directory}")


def _describe(
    arguments: argparse.Namespace,
    bundle: Bundle,
    engine: Engine,
    pictures: Pictures,
    metrics: Metrics,
) -> Record:
    manifest = bundle.manifest
    graphs = (manifest.predictor.file, manifest.step.file)
    return Record(
        made_by=f"dvsr-edge {__version__}",
        commit=commit(),
        bundle=manifest.name,
        engine=engine.name,
        data=arguments.data.name,
        circumstances=Circumstances(
            # Not the manifest's: that changes when presets are written.
            graphs_sha256=(manifest.files[graphs[0]].sha256, manifest.files[graphs[1]].sha256),
            prediction=manifest.prediction,
            data_sha256=fingerprint(pictures),
            pictures=len(pictures),
            seed=arguments.seed,
            niqe_parameters=checksum_of(arguments.niqe_parameters),
        ),
        versions=versions(),
        not_measured=metrics.missing,
    )


def _say(points: Sequence[Point], chosen: Mapping[str, Point], metrics: Metrics) -> None:
    for name, reason in metrics.missing.items():
        print(f"{name} not measured: {reason}")
    judged = axis(points)
    for name, point in chosen.items():
        perceived = "" if judged is None else f", {AXES[judged]} {perception(point, judged):.4f}"
        print(
            f"{name}: {describe(point.sampler)}, {_samples(point.samples)}: "
            f"{point.psnr:.2f} dB{perceived}"
        )


def _draw(
    path: Path,
    points: Sequence[Point],
    chosen: Mapping[str, Point],
    others: Mapping[str, Mapping[str, float]],
) -> None:
    if axis(points) is None:
        print("not drawn: nothing that stands for perception was measured")
        return
    try:
        draw(path, points, chosen, others)
    except MissingExtraError as error:
        print(f"not drawn: {error}")
    else:
        print(f"wrote {path}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m train.sweep", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
