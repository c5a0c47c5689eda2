"""A stretch of training on a machine that is lent for minutes: tar files in, small pieces out.

What comes back is all that the next stretch needs, on this machine or another: the averaged weights
in half precision, whose card knows the stage and the time spent. The optimizers' memory, twice as
large, stays behind; they warm up again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec

from runtime.errors import OptionError
from runtime.files import write_whole
from train import checkpoint
from train.config import Execution, TrainConfig
from train.data.layouts import Pictures, find_pictures
from train.device import choose_device
from train.journal import Entry, read_history, summarise
from train.options import to_parts, to_stages
from train.portable import pack_weights, unpack_pictures, unpack_weights
from train.run import MODEL
from train.stages import is_done, train_stages

LOG = "log.jsonl"
_LOGGED_EVERY = 100


def train_chunk(arguments: argparse.Namespace) -> Path:
    """Train as ``python -m train.portable train`` was asked to; returns the first piece.

    Raises DvsrError.
    """
    deadline = time.monotonic() + 60 * _checked_minutes(arguments)
    arguments.minutes = arguments.minutes or arguments.call_minutes
    gpu = choose_device(arguments.accelerator).type != "cpu"
    stages = to_stages(arguments, gpu=gpu)
    execution = Execution(
        accelerator=arguments.accelerator,
        accumulate=to_parts(arguments, stages[0].batch, gpu=gpu),
        compile=arguments.compile,
        workers=arguments.workers,
        validation_crops=32 if gpu else Execution().validation_crops,
        save_minutes=arguments.every,
    )
    with _work_folder(arguments.work) as work:
        folder = Path(work)
        start = _unpack_start(arguments.first_piece, folder)
        if start is not None:
            print(_how_it_goes_on(stages, start), flush=True)
        report = Report(stages, folder / "run", arguments.output)
        written = train_stages(
            stages,
            _unpack(arguments.source, folder / "pictures"),
            folder / "run",
            weights=start,
            within_s=deadline - time.monotonic(),
            on_save=report.save,
            progress=False,
            execution=execution,
            validation=_unpack(arguments.validation, folder / "validation")
            if arguments.validation
            else None,
        )
        # Where there was nothing left to train nothing was saved.
        first = report.first_piece or report.save(written)
    print(f"to go on: --from {first}", flush=True)
    return first


class Report:
    """Puts into ``output`` what is worth carrying away of a run of ``stages`` in ``folder``."""

    def __init__(self, stages: Sequence[TrainConfig], folder: Path, output: Path) -> None:
        self._stages = stages
        self._folder = folder
        self._output = output
        self.first_piece: Path | None = None

    def save(self, weights: Path) -> Path:
        """Pieces of ``weights``, the log so far, and a line that says how it goes."""
        card = checkpoint.load_card(weights)
        first = pack_weights(weights, self._output)[0]
        histories = {
            stage: read_history(self._folder_of(stage)) for stage in range(1, len(self._stages) + 1)
        }
        lines = [
            msgspec.json.encode({"stage": stage, **msgspec.to_builtins(entry)}) + b"\n"
            for stage, history in histories.items()
            for entry in thin_out(history)
        ]
        write_whole(self._output / LOG, b"".join(lines))
        stage = self._stages.index(card.config) + 1
        done = ", done" if is_done(card) else ""
        print(
            f"stage {stage} of {len(self._stages)}{done}: "
            f"{summarise(histories[stage], card.config.batch)}",
            flush=True,
        )
        self.first_piece = first
        return first

    def _folder_of(self, stage: int) -> Path:
        return self._folder if stage == len(self._stages) else self._folder / f"stage-{stage}"


def thin_out(history: Sequence[Entry]) -> list[Entry]:
    """Every 100th entry, and those with a validation: thousands of steps in a few kilobytes."""
    return [e for e in history if e.validation_db is not None or e.step % _LOGGED_EVERY == 0]


def _checked_minutes(arguments: argparse.Namespace) -> float:
    if not arguments.call_minutes > 0 or not arguments.every > 0:
        raise OptionError(
            f"got {arguments.call_minutes} minutes, pieces every {arguments.every}; "
            "wanted are more than 0"
        )
    return float(arguments.call_minutes)


def _work_folder(work: Path | None) -> AbstractContextManager[str | Path]:
    return tempfile.TemporaryDirectory() if work is None else nullcontext(work)


def _unpack(shards: Path, folder: Path) -> Pictures:
    unpack_pictures(shards, folder)
    return find_pictures(folder)


def _how_it_goes_on(stages: Sequence[TrainConfig], weights: Path) -> str:
    card = checkpoint.load_card(weights)
    if card.config not in stages:
        return "the weights given are of none of these stages: stage 1 begins with them"
    return f"stage {stages.index(card.config) + 1} was at step {card.step}"


def _unpack_start(piece: Path | None, folder: Path) -> Path | None:
    if piece is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    unpack_weights(piece, folder / MODEL)
    return folder / MODEL
