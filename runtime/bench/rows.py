"""Result files: one JSON line for each case measured, with everything it depended on.

A file grows by whole lines. What a stopped run left unfinished is measured again, and of two lines
with one key the later counts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from runtime.bench.cases import Case, Plan
from runtime.bench.machine import Machine, Software
from runtime.bench.meters import Usage
from runtime.bench.statistics import Deadline, Latency, Spread
from runtime.errors import OptionError, OutputError

FORMAT = 1


class Cold(msgspec.Struct, frozen=True):
    """The first picture of a fresh interpreter, in milliseconds, median of ``runs``.

    ``start_ms`` from the command to the first line of Python, then importing the package, opening
    the session, and the first call.
    """

    runs: int
    start_ms: float
    import_ms: float
    open_ms: float
    first_ms: float
    total_ms: float


class Floor(msgspec.Struct, frozen=True):
    """The bare engine calls of the same work: their sum, and the share of the call beyond it."""

    ms: float
    overhead: Spread
    runs: int


class Roof(msgspec.Struct, frozen=True):
    """Arithmetic of the work, and what share of a measured peak it reached.

    ``gflop`` counts 2 per multiply-add plus biases of all convolutions and matrix products of one
    call; ``peak_gflops`` is what ``peak_by`` reached on this device.
    """

    gflop: float
    gflops: float
    peak_gflops: float | None
    peak_by: str
    share: float | None


class Quality(msgspec.Struct, frozen=True):
    """Mean over ``pictures`` pairs of what was timed: PSNR in dB and SSIM, and the input's PSNR."""

    data: str
    pictures: int
    blurred_psnr_db: float
    psnr_db: float
    ssim: float | None


class Row(msgspec.Struct, frozen=True):
    """One line of a result file; what was not measured is None.

    ``times_ms`` holds the wall-clock time of every timed call, round by round. ``stages_ms`` are
    medians of what the session reports of itself, device-side where its engine has device clocks;
    ``outside_engine`` is the share of a call in neither predictor nor steps, by the same report.
    ``agrees_db`` is the PSNR of the picture against that of the first engine with the same noise.
    Rows with one ``turns_began`` took their rounds in turns with each other.
    """

    case: Case
    plan: Plan
    software: Software
    machine: Machine
    engine: str
    measured_at: str
    load_1min: float
    warm_up_runs: int
    warm_up_stable: bool
    latency: Latency
    deadlines: tuple[Deadline, ...]
    pictures_per_s: float
    times_ms: tuple[tuple[float, ...], ...]
    stages_ms: dict[str, float]
    outside_engine: Spread | None = None
    after_idle_ms: tuple[float, ...] = ()
    floor: Floor | None = None
    cold: Cold | None = None
    host_peak_mib: float | None = None
    usage: Usage | None = None
    faster_than: dict[str, Spread] = {}
    agrees_db: float | None = None
    roof: Roof | None = None
    quality: Quality | None = None
    turns_began: str | None = None
    format: int = FORMAT

    @property
    def key(self) -> str:
        """Same key, same measurement: case, plan, commit and machine, but not the outcome."""
        return case_key(self.case, self.plan, self.software, self.machine)


def case_key(case: Case, plan: Plan, software: Software, machine: Machine) -> str:
    """What a row of this measurement will be known by."""
    return hashlib.sha256(msgspec.json.encode([case, plan, software, machine])).hexdigest()[:16]


def read_rows(path: Path) -> list[Row]:
    """The rows of a result file, the last of each key; a torn last line is left out.

    Raises OptionError where the file cannot be read or is none of ours.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OptionError(f"cannot read the results {path}: {error.strerror}") from error
    rows: dict[str, Row] = {}
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), start=1):
        if line.strip():
            row = _decode(line, path, number)
            rows[row.key] = row
    return list(rows.values())


def read_files(paths: Sequence[Path]) -> list[Row]:
    """The rows of several result files, in order."""
    return [row for path in paths for row in read_rows(path)]


def append_row(path: Path, row: Row) -> None:
    """Add one line; first drops what a stopped run left of its last. Raises OutputError."""
    try:
        path.touch()
        with path.open("r+b") as file:
            file.truncate(_whole_bytes(file.read()))
            file.seek(0, os.SEEK_END)
            file.write(msgspec.json.encode(row) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _unwritable(path, error) from error


def open_results(path: Path) -> list[Row]:
    """The rows of a file that more will be added to, made if it is not there.

    Raises OutputError where it cannot be written, before anything is measured in vain.
    """
    try:
        path.touch()
    except OSError as error:
        raise _unwritable(path, error) from error
    return read_rows(path)


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror}; choose another --out")


def _whole_bytes(data: bytes) -> int:
    return data.rfind(b"\n") + 1


def _decode(line: bytes, path: Path, number: int) -> Row:
    try:
        row = msgspec.json.decode(line, type=Row)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise OptionError(
            f"{path} line {number} is no benchmark row: {error}; wanted is a file that "
            "python -m runtime.bench --out wrote"
        ) from error
    if row.format > FORMAT:
        raise OptionError(
            f"{path} line {number} has row format {row.format}, this version reads up to {FORMAT}; "
            "install a newer dvsr-edge"
        )
    return row
