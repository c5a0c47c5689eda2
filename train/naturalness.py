"""``python -m train.naturalness``: fit NIQE's natural model to photographs of your own.

Figures of NIQE compare only under the same natural model. The authors' own needs no fitting: give
it to ``python -m train.evaluate`` as it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.command import run_command
from runtime.errors import ImageError
from runtime.images import read_image
from train.data.layouts import find_pictures
from train.extras import load
from train.measuring.niqe import fit, write_model
from train.options import read_names


def run(arguments: argparse.Namespace) -> None:
    """Fit the model to a folder of photographs and write it; raises DvsrError."""
    only = read_names(arguments.only) if arguments.only else None
    paths = find_pictures(arguments.sharp, only=only).sharp
    bar = load("tqdm", "train").tqdm(paths, unit="picture")
    write_model(arguments.output, fit(_read_whole(bar)))
    print(f"fitted to {len(paths)} pictures; wrote {arguments.output}")


def _read_whole(paths: Iterable[Path]) -> Iterator[NDArray[np.uint8]]:
    """The pictures that can be read; the others are named."""
    for path in paths:
        try:
            yield read_image(path)
        except ImageError as error:
            print(f"left out: {error}")


def build_parser() -> argparse.ArgumentParser:
    """All options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m train.naturalness", description=__doc__)
    parser.add_argument("sharp", type=Path, help="folder of sharp photographs, or of pairs")
    parser.add_argument("--only", type=Path, help="text file: names of the pictures to use")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".npz file to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m train.naturalness", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
