"""``python -m train.evaluate``: how much a bundle gains on pairs of blurred and sharp pictures."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime.bundle import MANIFEST, sha256
from runtime.command import run_command
from runtime.errors import DataError, OptionError
from runtime.files import to_json, write_whole
from runtime.images import read_image
from runtime.session import Session
from runtime.version import __version__
from train.data import Pictures, find_pictures

Image = NDArray[np.uint8]


class Setting(msgspec.Struct, frozen=True):
    """Steps and samples to evaluate at."""

    steps: int
    samples: int


class Score(msgspec.Struct, frozen=True):
    """Mean PSNR in dB of one group of pictures at one setting, over ``pictures`` of them.

    ``blurred`` is the input's, ``deblurred`` the output's. ``sharp_kept`` and ``sharp_kept_min``
    compare sharp pictures with what deblurring makes of them; None where not asked for.
    """

    group: str
    steps: int
    samples: int
    pictures: int
    blurred: float
    deblurred: float
    gain: float
    sharp_kept: float | None = None
    sharp_kept_min: float | None = None


class Evaluation(msgspec.Struct, frozen=True):
    """A result file: the scores and what they were measured with."""

    made_by: str
    bundle: str
    bundle_sha256: str
    engine: str
    preset: str
    seed: int
    data: str
    scores: tuple[Score, ...]


def parse_setting(text: str) -> Setting:
    """``10x4`` to 10 steps, 4 samples; raises OptionError."""
    steps, cross, samples = text.partition("x")
    if not (cross and steps.isdecimal() and samples.isdecimal()):
        raise OptionError(f"got setting '{text}'; wanted is STEPSxSAMPLES, such as 10x4")
    return Setting(int(steps), int(samples))


def psnr(a: Image, b: Image) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures of one shape; 361 where equal."""
    return float(cv2.PSNR(a, b))


def evaluate(
    session: Session,
    pictures: Pictures,
    settings: Sequence[Setting],
    *,
    preset: str | None = None,
    seed: int = 0,
    keep_sharp: bool = False,
    progress: bool = True,
) -> tuple[Score, ...]:
    """Scores of every group at every setting, then of all pictures together ("all").

    A picture's group is its name up to the first underscore. Raises DataError without pairs.
    """
    if pictures.blurred is None:
        raise DataError("got sharp pictures alone; wanted are the folders blur/ and sharp/")
    rows: list[tuple[str, Setting, float, float, float]] = []
    pairs = list(zip(pictures.blurred, pictures.sharp, strict=True))
    for blurred_path, sharp_path in tqdm(pairs, unit="picture", disable=not progress):
        blurred, sharp = read_image(blurred_path), read_image(sharp_path)
        for setting in settings:
            run = _runner(session, setting, preset, seed)
            kept = psnr(sharp, run(sharp)) if keep_sharp else float("nan")
            row = (
                _group(sharp_path),
                setting,
                psnr(sharp, blurred),
                psnr(sharp, run(blurred)),
                kept,
            )
            rows.append(row)
    groups = [*dict.fromkeys(row[0] for row in rows), "all"]
    return tuple(
        _score(group, setting, [r for r in rows if r[1] == setting and group in (r[0], "all")])
        for setting in settings
        for group in groups
    )


def _runner(
    session: Session, setting: Setting, preset: str | None, seed: int
) -> Callable[[Image], Image]:
    def run(image: Image) -> Image:
        return session.deblur(
            image, steps=setting.steps, samples=setting.samples, preset=preset, seed=seed
        )

    return run


def _group(path: Path) -> str:
    return path.stem.partition("_")[0]


def _score(
    group: str, setting: Setting, rows: list[tuple[str, Setting, float, float, float]]
) -> Score:
    blurred, deblurred, kept = (np.array([row[i] for row in rows]) for i in (2, 3, 4))
    asked = bool(np.isfinite(kept).all())
    return Score(
        group=group,
        steps=setting.steps,
        samples=setting.samples,
        pictures=len(rows),
        blurred=round(float(blurred.mean()), 3),
        deblurred=round(float(deblurred.mean()), 3),
        gain=round(float((deblurred - blurred).mean()), 3),
        sharp_kept=round(float(kept.mean()), 2) if asked else None,
        sharp_kept_min=round(float(kept.min()), 2) if asked else None,
    )


def to_table(scores: Sequence[Score]) -> str:
    """The scores as a Markdown table."""
    lines = [
        "| group | pictures | steps x samples | blurred dB | deblurred dB | gain dB | "
        "sharp kept dB (min) |",
        "|---|---|---|---|---|---|---|",
    ]
    for score in scores:
        kept = (
            "not measured"
            if score.sharp_kept is None
            else f"{score.sharp_kept:.2f} ({score.sharp_kept_min:.2f})"
        )
        lines.append(
            f"| {score.group} | {score.pictures} | {score.steps} x {score.samples} | "
            f"{score.blurred:.2f} | {score.deblurred:.2f} | {score.gain:+.2f} | {kept} |"
        )
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    """All options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m train.evaluate", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with blur/ and sharp/, names GROUP_*.png")
    parser.add_argument("--bundle", help="bundle directory, or the name of a shipped bundle")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--preset", help="sampling preset whose schedule is used")
    parser.add_argument("--at", nargs="+", default=["10x4"], metavar="STEPSxSAMPLES")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sharp", action="store_true", help="also deblur the sharp pictures")
    parser.add_argument("--json", type=Path, help="result file to write")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Evaluate, print the table, write the result file; raises DvsrError."""
    settings = [parse_setting(text) for text in arguments.at]
    pictures = find_pictures(arguments.data)
    with Session(arguments.bundle, engine=arguments.engine) as session:
        scores = evaluate(
            session,
            pictures,
            settings,
            preset=arguments.preset,
            seed=arguments.seed,
            keep_sharp=arguments.sharp,
        )
        bundle = session.bundle
        result = Evaluation(
            made_by=f"dvsr-edge {__version__}",
            bundle=bundle.manifest.name,
            bundle_sha256=sha256(bundle.path(MANIFEST).read_bytes()),
            engine=session.engine,
            preset=arguments.preset or bundle.manifest.default_preset,
            seed=arguments.seed,
            data=arguments.data.name,
            scores=scores,
        )
    print(to_table(scores))
    if arguments.json:
        write_whole(arguments.json, to_json(result))


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m train.evaluate", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
