"""``python -m train.sweep``: measure many samplers of a bundle, draw the curve, recommend presets.

A sweep can be stopped and started again: what ``curve.csv`` of the output holds is not measured
anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from runtime.bundle import Bundle, Preset, find_bundle, open_bundle
from runtime.command import run_command
from runtime.engines import Engine, open_engine
from runtime.errors import DataError, MissingExtraError, OptionError
from runtime.files import to_json, write_whole
from runtime.version import __version__
from train.data.layouts import Pictures
from train.measuring.curve import AXES, PICTURE, axis, draw, perception, recommend
from train.measuring.grids import GRIDS, describe
from train.measuring.metrics import Metrics, open_metrics
from train.measuring.others import gather_others
from train.measuring.points import Point
from train.measuring.sweeping import sweep
from train.options import add_measuring_options, find_pairs
from train.presets import compile_preset, write_presets
from train.provenance import checksum_of, commit, fingerprint, versions

CIRCUMSTANCES = "sweep.json"
METRICS = ("ssim", "blur_effect", "lpips", "niqe")


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
    """The recommended points as presets of ``bundle``, by name.

    Self-ensemble and strength stay as they were: the sweep does not try them.
    """
    presets = {}
    for name, point in chosen.items():
        before = bundle.presets.get(name)
        presets[name] = compile_preset(
            f"{describe(point.sampler)}, {_samples(point.samples)}",
            point.samples,
            point.sampler,
            bundle.manifest.prediction,
            self_ensemble=before is not None and before.self_ensemble,
            strength=1.0 if before is None else before.strength,
        )
    return presets


def _samples(count: int) -> str:
    return "one sample" if count == 1 else f"{count} samples averaged"


def build_parser() -> argparse.ArgumentParser:
    """All options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m train.sweep", description=__doc__)
    parser.add_argument("bundle", help="bundle directory, or the name of a shipped bundle")
    add_measuring_options(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the sweep")
    parser.add_argument(
        "--grid", choices=GRIDS, nargs="+", default=["short"], help="samplers to try"
    )
    parser.add_argument(
        "--most-calls",
        type=int,
        default=40,
        metavar="N",
        help="calls of the denoiser that the preset 'balanced' may take",
    )
    parser.add_argument(
        "--write", action="store_true", help="put the recommended presets into the bundle"
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Sweep, draw, recommend, and write presets if asked to; raises DvsrError."""
    others = gather_others(arguments.beside)
    bundle = open_bundle(arguments.bundle)
    pictures = find_pairs(arguments)
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
