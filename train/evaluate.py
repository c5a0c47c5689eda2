"""``python -m train.evaluate``: how good a bundle or a checkpoint is on blurred and sharp pairs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.bundle import MANIFEST, sha256
from runtime.command import run_command
from runtime.errors import DataError, OptionError
from runtime.files import to_json, write_whole
from runtime.images import read_image
from runtime.session import Session
from runtime.version import __version__
from train.data.layouts import Pictures, find_pictures
from train.extras import load, require_training
from train.measuring.metrics import NAMES, Image, Metrics, open_metrics, psnr
from train.measuring.scores import (
    Row,
    Score,
    Setting,
    measure_spread,
    parse_setting,
    read_others,
    summarise,
    to_csv,
    to_paper_table,
    to_spread_table,
    to_table,
)
from train.provenance import commit, fingerprint, versions

if TYPE_CHECKING:
    from train.measuring.inference import CheckpointSession

__all__ = ["Evaluation", "Score", "Setting", "evaluate", "main", "parse_setting", "psnr"]

CHECKPOINT_SUFFIX = ".safetensors"

Floats = NDArray[np.float32]


class Evaluation(msgspec.Struct, frozen=True):
    """A result file: the scores and what they were measured with.

    ``sha256`` is that of a bundle's manifest, which holds the checksums of its other files, or of
    the checkpoint. ``not_measured`` says of each metric left out why. ``niqe_parameters`` is the
    sha256 of the file with NIQE's natural model: values under another one don't compare.
    """

    made_by: str
    commit: str | None
    model: str
    kind: str
    sha256: str
    engine: str
    preset: str
    seed: int
    data: str
    data_sha256: str
    versions: dict[str, str]
    not_measured: dict[str, str]
    scores: tuple[Score, ...]
    niqe_parameters: str | None = None


def evaluate(
    session: Session | CheckpointSession,
    pictures: Pictures,
    settings: Sequence[Setting],
    *,
    preset: str | None = None,
    seed: int = 0,
    keep_sharp: bool = False,
    progress: bool = True,
) -> tuple[Score, ...]:
    """PSNR of every group at every setting, then of all pictures together ("all").

    A picture's group is its name up to the first underscore. Raises DataError without pairs.
    """
    rows = measure(
        session,
        pictures,
        settings,
        preset=preset,
        seed=seed,
        keep_sharp=keep_sharp,
        progress=progress,
    )
    return summarise(list(rows))


def measure(
    session: Session | CheckpointSession,
    pictures: Pictures,
    settings: Sequence[Setting],
    *,
    preset: str | None = None,
    seed: int = 0,
    keep_sharp: bool = False,
    spread: bool = False,
    metrics: Metrics | None = None,
    progress: bool = True,
) -> Iterator[Row]:
    """One row for each picture at each setting, settings one after another.

    Metrics of sets take in the pictures as rows come out. Raises DataError without pairs and
    OptionError for a spread of one sample.
    """
    if pictures.blurred is None:
        raise DataError("got sharp pictures alone; wanted are the folders blur/ and sharp/")
    if spread and any(setting.samples < 2 for setting in settings):
        raise OptionError("got one sample, which has no spread; wanted are at least 2")
    metrics = metrics or Metrics()
    pairs = list(zip(pictures.blurred, pictures.sharp, strict=True))
    bar = load("tqdm", "train").tqdm(
        total=len(pairs) * len(settings), unit="picture", disable=not progress
    )
    with bar:
        for setting in settings:
            for blurred_path, sharp_path in pairs:
                blurred, sharp = read_image(blurred_path), read_image(sharp_path)
                picture, std = _deblur(session, blurred, setting, preset, seed)
                kept = _deblur(session, sharp, setting, preset, seed)[0] if keep_sharp else None
                error = picture.astype(np.float32) - sharp
                for distance in metrics.sets.values():
                    distance.add(picture, sharp)
                yield Row(
                    group=sharp_path.stem.partition("_")[0],
                    picture=sharp_path.name,
                    setting=setting,
                    blurred=psnr(sharp, blurred),
                    deblurred=psnr(sharp, picture),
                    sharp_kept=None if kept is None else psnr(sharp, kept),
                    metrics=metrics.measure(picture, sharp),
                    input_metrics=metrics.measure(blurred, sharp),
                    sharp_metrics=metrics.measure(sharp, sharp),
                    spread=measure_spread(std, error, setting.samples) if spread else None,
                )
                bar.update()


def _deblur(
    session: Session | CheckpointSession,
    image: Image,
    setting: Setting,
    preset: str | None,
    seed: int,
) -> tuple[Image, Floats]:
    options: dict[str, Any] = {"return_std": True} if isinstance(session, Session) else {}
    result: tuple[Image, Floats] = session.deblur(
        image, steps=setting.steps, samples=setting.samples, preset=preset, seed=seed, **options
    )
    return result


def measure_all(
    session: Session | CheckpointSession,
    pictures: Pictures,
    settings: Sequence[Setting],
    metrics: Metrics,
    **options: Any,
) -> tuple[list[Row], dict[Setting, dict[str, float]]]:
    """All rows, and the metrics of sets for each setting; ``options`` are those of measure()."""
    rows: list[Row] = []
    sets: dict[Setting, dict[str, float]] = {}
    for setting in settings:
        rows += measure(session, pictures, [setting], metrics=metrics, **options)
        values = {name: distance.take() for name, distance in metrics.sets.items()}
        sets[setting] = {name: value for name, value in values.items() if value is not None}
        for name in values.keys() - sets[setting].keys():
            metrics.missing[name] = "the pictures hold fewer than two patches of 256x240"
    return rows, sets


@contextmanager
def open_model(model: str, engine: str) -> Iterator[Session | CheckpointSession]:
    """The bundle, or the checkpoint where ``model`` ends in .safetensors, ready to deblur."""
    if not model.endswith(CHECKPOINT_SUFFIX):
        with Session(model, engine=engine) as session:
            yield session
        return
    require_training()
    from train.measuring.inference import CheckpointSession

    if engine != "auto":
        raise OptionError(f"got engine '{engine}' for a checkpoint, which runs in torch")
    yield CheckpointSession(Path(model))


def describe(
    session: Session | CheckpointSession,
    arguments: argparse.Namespace,
    pictures: Pictures,
    missing: dict[str, str],
    scores: tuple[Score, ...],
) -> Evaluation:
    """The result file's content."""
    if isinstance(session, Session):
        bundle = session.bundle
        kind, name = "bundle", bundle.manifest.name
        checksum = sha256(bundle.path(MANIFEST).read_bytes())
        preset = bundle.manifest.default_preset
    else:
        kind, name = "checkpoint", Path(arguments.model).name
        checksum, preset = session.sha256, session.default_preset
    return Evaluation(
        made_by=f"dvsr-edge {__version__}",
        commit=commit(),
        model=name,
        kind=kind,
        sha256=checksum,
        engine=session.engine,
        preset=arguments.preset or preset,
        seed=arguments.seed,
        data=arguments.data.name,
        data_sha256=fingerprint(pictures),
        versions=versions(),
        not_measured=missing,
        scores=scores,
        niqe_parameters=checksum_of(arguments.niqe_parameters),
    )


def checksum_of(path: Path | None) -> str | None:
    """sha256 of a file that was read before; None for none."""
    return None if path is None else sha256(path.read_bytes())


def add_niqe_parameters(parser: argparse.ArgumentParser) -> None:
    """The option that gives NIQE its natural model."""
    parser.add_argument(
        "--niqe-parameters",
        type=Path,
        metavar="FILE",
        help=".npz or .mat with NIQE's natural model (python -m train.naturalness makes one)",
    )


def build_parser() -> argparse.ArgumentParser:
    """All options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m train.evaluate", description=__doc__)
    parser.add_argument(
        "model", help="bundle directory, name of a shipped bundle, or checkpoint (.safetensors)"
    )
    parser.add_argument("data", type=Path, help="pairs, as python -m train takes them")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("--blur-kind", metavar="NAME", help="kind of blur, such as blur_gamma")
    parser.add_argument("--pictures", type=int, metavar="N", help="every k-th pair, N in all")
    parser.add_argument("--engine", default="auto", help="engine of a bundle")
    parser.add_argument("--preset", help="sampling preset whose schedule is used")
    parser.add_argument("--at", nargs="+", default=["10x4"], metavar="STEPSxSAMPLES")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--metrics", nargs="*", choices=NAMES, help="beside PSNR (default: all)")
    add_niqe_parameters(parser)
    parser.add_argument("--sharp", action="store_true", help="also deblur the sharp pictures")
    parser.add_argument("--std", action="store_true", help="compare the samples' spread and error")
    parser.add_argument("--beside", type=Path, metavar="CSV", help="rows of other methods to show")
    parser.add_argument("--csv", type=Path, help="file to write, one line for each picture")
    parser.add_argument("--json", type=Path, help="result file to write")
    return parser


def take_evenly(pictures: Pictures, wanted: int | None) -> Pictures:
    """``wanted`` pictures spread evenly over the list (None: all); raises OptionError."""
    if wanted is None:
        return pictures
    if not 1 <= wanted <= len(pictures):
        raise OptionError(f"got {wanted} pictures; wanted are 1 to {len(pictures)}")
    which = [index * len(pictures) // wanted for index in range(wanted)]
    blurred = pictures.blurred
    return replace(
        pictures,
        sharp=tuple(pictures.sharp[i] for i in which),
        blurred=None if blurred is None else tuple(blurred[i] for i in which),
    )


def run(arguments: argparse.Namespace) -> None:
    """Evaluate, print the tables, write the result files; raises DvsrError."""
    settings = [parse_setting(text) for text in arguments.at]
    others = read_others(arguments.beside) if arguments.beside else {}
    found = find_pictures(arguments.data, split=arguments.split, blur=arguments.blur_kind)
    pictures = take_evenly(found, arguments.pictures)
    metrics = open_metrics(arguments.metrics, niqe_parameters=arguments.niqe_parameters)
    with open_model(arguments.model, arguments.engine) as session:
        rows, sets = measure_all(
            session,
            pictures,
            settings,
            metrics,
            preset=arguments.preset,
            seed=arguments.seed,
            keep_sharp=arguments.sharp,
            spread=arguments.std,
        )
        scores = summarise(rows, sets)
        result = describe(session, arguments, pictures, metrics.missing, scores)
    print(to_table(scores), to_paper_table(scores, others), sep="\n\n")
    if arguments.std:
        print(f"\n{to_spread_table(scores)}")
    for name, reason in metrics.missing.items():
        print(f"{name} not measured: {reason}")
    if arguments.csv:
        write_whole(arguments.csv, to_csv(rows))
    if arguments.json:
        write_whole(arguments.json, to_json(result))


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m train.evaluate", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
