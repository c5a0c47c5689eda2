"""``python -m runtime``: deblur picture files."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from runtime.command import run_command
from runtime.errors import OptionError
from runtime.images import check_output, read_photograph, write_photograph
from runtime.session import Session
from runtime.version import __version__


def build_parser() -> argparse.ArgumentParser:
    """All options; what is left out is decided by the bundle's preset."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime",
        description="Deblur photographs with a DvSR bundle.",
        epilog="Example: python -m runtime blurred.jpg -o sharp.png --steps 10 --samples 4",
    )
    parser.add_argument("pictures", nargs="+", type=Path, metavar="IN", help="blurred pictures")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="the picture to write, or an existing folder for one PNG per picture",
    )
    parser.add_argument("--steps", type=int, help="diffusion steps, 0 to 500; 0: predictor alone")
    parser.add_argument("--samples", type=int, help="how many sampled pictures are averaged")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same picture (default: 0)")
    parser.add_argument("--preset", help="a sampling preset of the bundle")
    parser.add_argument("--bundle", help="bundle directory, or the name of a shipped bundle")
    parser.add_argument("--engine", default="auto", help="auto or onnx-cpu (default: auto)")
    parser.add_argument(
        "--memory", type=int, metavar="MIB", help="cut pictures into tiles to stay within this"
    )
    parser.add_argument("--version", action="version", version=f"dvsr-edge {__version__}")
    return parser


def plan_outputs(pictures: list[Path], output: Path) -> list[Path]:
    """The file each picture goes to, all checked before any work; raises DvsrError."""
    if output.is_dir():
        targets = [output / f"{picture.stem}.png" for picture in pictures]
    elif len(pictures) == 1:
        targets = [output]
    else:
        raise OptionError(
            f"got {len(pictures)} pictures and the output {output}, which is no existing folder; "
            "create it, or give one picture"
        )
    if len(set(targets)) < len(targets):
        raise OptionError(
            f"two pictures would both become one file in {output}; give them different names "
            "or deblur them one by one"
        )
    for target in targets:
        check_output(target)
    return targets


def run(arguments: argparse.Namespace) -> None:
    """Deblur every picture; raises DvsrError at the first that fails."""
    targets = plan_outputs(arguments.pictures, arguments.output)
    with Session(arguments.bundle, engine=arguments.engine, memory_mib=arguments.memory) as session:
        print(f"engine {session.engine}; bundle {session.bundle.manifest.name}")
        for picture, target in zip(arguments.pictures, targets, strict=True):
            began = time.perf_counter()
            photograph = read_photograph(picture)
            check_output(target, photograph)
            sharp = session.deblur(
                photograph.image,
                steps=arguments.steps,
                samples=arguments.samples,
                seed=arguments.seed,
                preset=arguments.preset,
            )
            write_photograph(target, replace(photograph, image=sharp))
            height, width = sharp.shape[:2]
            print(f"{picture} -> {target} ({width}x{height}, {time.perf_counter() - began:.1f} s)")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m runtime", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
