"""``python -m export.check``: hold a bundle against the network it was made of, and seal it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from export.extras import TRACING, require
from runtime.bundle import Bundle, open_bundle
from runtime.command import Parser, run_command
from runtime.engines import ENGINES, Engine
from runtime.errors import OptionError

if TYPE_CHECKING:
    from export.checker import Checked
    from export.parity import Size, Tolerance

OUTSIDE = 1


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line asks; 1 where the bundle is outside; raises DvsrError."""
    require("onnx")
    require("onnxruntime", extra="cpu")
    if arguments.checkpoint is not None:
        require(*TRACING)
    from export.checker import bisect, check, describe_images, open_reference, read_images
    from export.parity import TOLERANCES, describe_tolerance

    bundle = open_bundle(arguments.bundle)
    reference = open_reference(bundle, arguments.checkpoint, arguments.reference)
    if bundle.manifest.precision == "int8" and arguments.pictures is None:
        raise OptionError(
            f"{bundle.directory} is int8, which is calibrated for photographs and promises nothing "
            "for made-up pictures: give some with --pictures FOLDER"
        )
    tolerance = TOLERANCES[bundle.manifest.precision]
    images = read_images(arguments.pictures, bundle.manifest.size_multiple_px)
    sizes = [parse_size(text) for text in arguments.size]
    print(f"{bundle.directory}: {bundle.manifest.precision} against {reference.name}")
    print(f"wanted: {describe_tolerance(tolerance)}; samplers run on {describe_images(images)}")
    if arguments.save_runs is not None:
        _save_runs(arguments.save_runs, bundle, reference, tolerance, sizes)
    checked = check(bundle, reference, tolerance, sizes, images, arguments.engine)
    if arguments.bisect:
        bisect(bundle, reference, tolerance)
    return _conclude(bundle, checked, may_write=not arguments.no_seal)


def _save_runs(
    folder: Path, bundle: Bundle, reference: Engine, tolerance: Tolerance, sizes: Sequence[Size]
) -> None:
    from export.parity import SIZES_PX
    from export.replay import save_runs

    commands = save_runs(folder, bundle, reference, tolerance, sizes or SIZES_PX)
    print(f"saved runs in {folder}; where TensorRT and Polygraphy are, type:")
    for command in commands:
        print(f"  {command}")


def _conclude(bundle: Bundle, checked: Checked, *, may_write: bool) -> int:
    """Seal the bundle, or take an earlier seal away and say why; returns the exit code."""
    from export.bundle import SEAL, seal, to_seal, unseal

    for failure in checked.failures:
        print(f"outside: {failure}")
    if checked.failures:
        print(f"{len(checked.failures)} comparisons are outside the tolerance: not sealed")
        if may_write:
            unseal(bundle)
        return OUTSIDE
    if not may_write:
        print("all within the tolerance")
        return 0
    data = to_seal(
        bundle,
        reference=checked.reference,
        pictures=checked.pictures,
        tolerances=checked.tolerances,
        engines=checked.engines,
        ranges=checked.ranges,
    )
    seal(bundle, data)
    print(f"all within the tolerance: sealed in {bundle.path(SEAL)}")
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT as (height, width); raises OptionError."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise OptionError(f"got size '{text}'; wanted is WIDTHxHEIGHT, such as 1280x720")
    return int(height), int(width)


def build_parser() -> argparse.ArgumentParser:
    """All options of the command line."""
    parser = Parser(prog="python -m export.check", description=__doc__)
    parser.add_argument("bundle", help="a directory made by python -m export.onnx")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="hold it against this network in torch"
    )
    parser.add_argument(
        "--reference", metavar="BUNDLE", help="hold it against this float32 bundle of the network"
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        help="compare this engine alone (default: all that auto may take and that run here)",
    )
    parser.add_argument(
        "--size",
        action="append",
        default=[],
        metavar="WxH",
        help="compare at this size; may be repeated (default: small ones of odd aspects, and the "
        "corners of the profiles of built engines)",
    )
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="sample on real pictures of this folder"
    )
    parser.add_argument(
        "--bisect", action="store_true", help="name the first layer of each graph that departs"
    )
    parser.add_argument(
        "--save-runs",
        type=Path,
        metavar="FOLDER",
        help="write inputs and the reference's outputs, for Polygraphy to compare with TensorRT "
        "where neither torch nor a checkpoint is",
    )
    parser.add_argument("--no-seal", action="store_true", help="compare only, write nothing")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0 where the bundle holds, 1 where not, 2 for bad input."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m export.check", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
