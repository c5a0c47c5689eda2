"""What a run writes down as it goes: a line for each step, and TensorBoard's files if wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
from torch import Tensor

from runtime.errors import OptionError
from runtime.files import write_whole

HISTORY = "history.jsonl"
TENSORBOARD = "tensorboard"
_SUMMED_UP = 100


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of ``history.jsonl``; a loss that was not finite is null.

    ``seconds`` are those of the run so far, ``waited_s`` those of this step that crops were waited
    for, ``blurred_db`` what the validation crops had before they were deblurred.
    """

    step: int
    loss: float | None
    denoise: float | None = None
    pixel: float | None = None
    learning_rate: float = 0.0
    gradient_norm: float | None = None
    skipped: int = 0
    crops_per_s: float = 0.0
    validation_db: float | None = None
    blurred_db: float | None = None
    seconds: float = 0.0
    waited_s: float = 0.0


class Journal:
    """Appends to ``history.jsonl`` in ``folder``, from step ``start`` on; a context manager.

    Lines after ``start``, left by a run that was killed after its last checkpoint, are removed.
    Raises OptionError where TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, start: int, *, tensorboard: bool = False) -> None:
        path = folder / HISTORY
        kept = [entry for entry in read_history(folder) if entry.step <= start]
        write_whole(path, b"".join(msgspec.json.encode(entry) + b"\n" for entry in kept))
        self._board = _open_board(folder / TENSORBOARD, start) if tensorboard else None
        self._file = path.open("ab", buffering=0)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()

    def write(self, entry: Entry) -> None:
        """Append one line, and its numbers as scalars."""
        self._file.write(msgspec.json.encode(entry) + b"\n")
        if self._board is not None:
            for name, value in msgspec.structs.asdict(entry).items():
                if name != "step" and value is not None:
                    self._board.add_scalar(name, value, entry.step)

    def show(self, name: str, grid: Tensor, step: int) -> None:
        """A picture (3, H, W) uint8, for TensorBoard only."""
        if self._board is not None:
            self._board.add_image(name, grid, step)


def read_history(folder: Path) -> list[Entry]:
    """All whole lines of ``history.jsonl`` in ``folder``; none if there is no such file."""
    path = folder / HISTORY
    if not path.exists():
        return []
    entries: list[Entry] = []
    for line in path.read_bytes().splitlines():
        try:
            entries.append(msgspec.json.decode(line, type=Entry))
        except msgspec.MsgspecError:
            # The last line of a run that was killed while it wrote.
            break
    return entries


def summarise(history: Sequence[Entry], batch: int) -> str:
    """How far a run has come, what became of its loss, how fast it was, and how long it waited."""
    if not history:
        return "no step taken"
    last = history[-1]
    parts = [f"{last.seconds / 60:.1f} min, step {last.step}"]
    losses = [entry.loss for entry in history if entry.loss is not None]
    if losses:
        count = max(1, min(_SUMMED_UP, len(losses) // 4))
        first, now = fmean(losses[:count]), fmean(losses[-count:])
        parts.append(f"mean loss {first:.5f} at first, {now:.5f} at last ({count} steps each)")
    # The first step sets up kernels and readers.
    spent = last.seconds - history[0].seconds
    if spent > 0:
        waited = sum(entry.waited_s for entry in history[1:])
        parts.append(f"{(len(history) - 1) * batch / spent:.1f} crops/s")
        parts.append(f"{waited / spent:.0%} of the time spent waiting for crops")
    if last.validation_db is not None and last.blurred_db is not None:
        gain = last.validation_db - last.blurred_db
        parts.append(f"validation {last.validation_db:.2f} dB ({gain:+.2f} over the blurred)")
    return ", ".join(parts)


def _open_board(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise OptionError(
            "TensorBoard is not installed; leave --tensorboard out, or "
            "pip install 'dvsr-edge[tensorboard]'"
        ) from error
    return SummaryWriter(str(folder), purge_step=start + 1)
