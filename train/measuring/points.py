"""Points of the perception-distortion curve, and the file they are kept in."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import msgspec

from runtime.errors import DataError, OutputError
from runtime.files import write_whole
from runtime.samplers import SamplerConfig

CSV = "curve.csv"


class Point(msgspec.Struct, frozen=True):
    """One sampler at one number of samples: means over the pictures, PSNR in dB.

    ``blur_gap`` is how far the pictures' blur effect is from that of their sharp twins. ``calls``
    are calls of the denoiser for one picture. Metrics that could not be measured are None.
    """

    method: str
    schedule: str
    steps: int
    beta_end: float
    cleanest: float
    noisiest: float
    eta: float
    start: str
    samples: int
    calls: int
    psnr: float
    ssim: float | None
    blur_effect: float | None
    blur_gap: float | None
    lpips: float | None
    niqe: float | None

    @property
    def sampler(self) -> SamplerConfig:
        values = {name: getattr(self, name) for name in SamplerConfig.__struct_fields__}
        return SamplerConfig(**values)


_FIELDS = Point.__struct_fields__


class PointFile:
    """``curve.csv``: one line for each point, appended as it is measured; a context manager.

    A line that a killed run left unfinished is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.points = read_points(path) if path.exists() else []
        write_whole(path, _to_lines(self.points, header=True))
        self._file = path.open("ab", buffering=0)

    def __enter__(self) -> PointFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, points: Sequence[Point]) -> None:
        """Add the points of one sampler, all in one write; raises OutputError."""
        try:
            self._file.write(_to_lines(points))
        except OSError as error:
            raise OutputError(f"cannot write {CSV}: {error.strerror}") from error
        self.points += points


def read_points(path: Path) -> list[Point]:
    """The whole lines of a file of points; raises DataError for a file of another kind."""
    text = path.read_text(encoding="utf-8")
    rows = csv.reader(io.StringIO(text[: text.rfind("\n") + 1]))
    if tuple(next(rows, ())) != _FIELDS:
        raise DataError(f"{path} is no curve of python -m train.sweep; choose another output")
    try:
        return [
            msgspec.convert(
                {name: value or None for name, value in zip(_FIELDS, row, strict=True)},
                Point,
                strict=False,
            )
            for row in rows
        ]
    except (msgspec.ValidationError, ValueError) as error:
        raise DataError(f"{path} has a broken line ({error}); remove that line") from error


def _to_lines(points: Sequence[Point], *, header: bool = False) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(_FIELDS)
    for point in points:
        values = msgspec.structs.astuple(point)
        writer.writerow(["" if value is None else value for value in values])
    return text.getvalue().encode()
