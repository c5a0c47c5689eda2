"""``python -m export.check``: hold a bundle against the network it was made of, and seal it."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.extras import TRACING, require
from runtime.command import run_command
from runtime.engines import ENGINES
from runtime.errors import OptionError

OUTSIDE = 1


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line asks; 1 where the bundle is outside; raises DvsrError."""
    require("onnx")
    require("onnxruntime", extra="cpu")
    if arguments.checkpoint is not None:
        require(*TRACING)
    from export.bundle import SEAL, seal, to_seal, unseal
    from export.checker import bisect, check, open_reference, read_images
    from export.parity import TOLERANCES
    from runtime.bundle import open_bundle

    bundle = open_bundle(arguments.bundle)
    reference = open_reference(bundle, arguments.checkpoint, arguments.reference)
    if bundle.manifest.precision == "int8" and arguments.pictures is None:
        raise OptionError(
            f"{bundle.directory} is int8, which is calibrated for photographs and promises nothing "
            "for made-up pictures: give some with --pictures FOLDER"
        )
    tolerance = TOLERANCES[bundle.manifest.precision]
    print(f"{bundle.directory}: {bundle.manifest.precision} against {reference.name}")
    images = read_images(arguments.pictures, bundle.manifest.size_multiple_px)
    sizes = [parse_size(text) for text in arguments.size]
    checked = check(bundle, reference, tolerance, sizes, images, arguments.engine)
    if arguments.bisect:
        bisect(bundle, reference, tolerance)
    for failure in checked.failures:
        print(f"outside: {failure}")
    if checked.failures:
        unseal(bundle)
        print(f"{len(checked.failures)} comparisons are outside the tolerance: not sealed")
        return OUTSIDE
    if not arguments.no_seal:
        seal(bundle, to_seal(bundle, checked.reference, checked.engines, checked.ranges))
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
    parser = argparse.ArgumentParser(prog="python -m export.check", description=__doc__)
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
    parser.add_argument("--no-seal", action="store_true", help="compare only, write nothing")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0 where the bundle holds, 1 where not, 2 for bad input."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m export.check", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
