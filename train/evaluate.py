"""``python -m train.evaluate``: how good a bundle or a checkpoint is on blurred and sharp pairs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runtime.bundle import MANIFEST, sha256
from runtime.command import run_command
from runtime.errors import OptionError
from runtime.files import to_json, write_whole
from runtime.session import Session
from runtime.version import __version__
from train.data.layouts import Pictures
from train.extras import require_training
from train.measuring.evaluation import measure_all
from train.measuring.metrics import NAMES, open_metrics
from train.measuring.others import gather_others
from train.measuring.scores import Score, parse_setting, summarise
from train.measuring.tables import (
    to_csv,
    to_paper_table,
    to_spread_table,
    to_table,
)
from train.options import add_measuring_options, find_pairs
from train.provenance import checksum_of, commit, fingerprint, versions

if TYPE_CHECKING:
    from train.measuring.inference import CheckpointSession

CHECKPOINT_SUFFIX = ".safetensors"


class Evaluation(msgspec.Struct, frozen=True):
    """A result file: the scores and what they were measured with.

    ``sha256`` is that of a bundle's manifest, which holds the checksums of its other files, or of
    the checkpoint. ``not_measured`` says of each metric left out why. ``niqe_parameters`` is the
    sha256 of the file with NIQE's natural model: values under another one don't compare.
    ``self_ensemble`` says whether several samples were drawn on the turned picture, ``strength`` by
    what their change was multiplied.
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
    self_ensemble: bool = False
    strength: float = 1.0


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
        default, preset = bundle.manifest.default_preset, bundle.preset(arguments.preset)
    else:
        kind, name = "checkpoint", Path(arguments.model).name
        checksum = session.sha256
        default, preset = session.default_preset, session.preset(arguments.preset)
    return Evaluation(
        made_by=f"dvsr-edge {__version__}",
        commit=commit(),
        model=name,
        kind=kind,
        sha256=checksum,
        engine=session.engine,
        preset=arguments.preset or default,
        seed=arguments.seed,
        data=arguments.data.name,
        data_sha256=fingerprint(pictures),
        versions=versions(),
        not_measured=missing,
        scores=scores,
        niqe_parameters=checksum_of(arguments.niqe_parameters),
        self_ensemble=preset.self_ensemble,
        strength=preset.strength,
    )


def build_parser() -> argparse.ArgumentParser:
    """All options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m train.evaluate", description=__doc__)
    parser.add_argument(
        "model", help="bundle directory, name of a shipped bundle, or checkpoint (.safetensors)"
    )
    add_measuring_options(parser)
    parser.add_argument("--preset", help="sampling preset whose schedule is used")
    parser.add_argument("--at", nargs="+", default=["10x4"], metavar="STEPSxSAMPLES")
    parser.add_argument("--metrics", nargs="*", choices=NAMES, help="beside PSNR (default: all)")
    parser.add_argument("--sharp", action="store_true", help="also deblur the sharp pictures")
    parser.add_argument("--std", action="store_true", help="compare the samples' spread and error")
    parser.add_argument("--csv", type=Path, help="file to write, one line for each picture")
    parser.add_argument("--json", type=Path, help="result file to write")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Evaluate, print the tables, write the result files; raises DvsrError."""
    settings = [parse_setting(text) for text in arguments.at]
    others = gather_others(arguments.beside)
    pictures = find_pairs(arguments)
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
