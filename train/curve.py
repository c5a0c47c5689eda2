"""The perception-distortion curve: its points, the file they are kept in, and the picture.

Blau and Michaeli, "The Perception-Distortion Tradeoff", CVPR 2018: no method can be best at both.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from runtime.errors import DataError, OutputError
from runtime.files import write_whole
from runtime.samplers import SamplerConfig
from train.extras import load

CSV = "curve.csv"
PICTURE = "curve.png"


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


def perception(point: Point) -> float | None:
    """What stands for perception, lower is better: LPIPS, or the blur gap where it can't be had."""
    return point.blur_gap if point.lpips is None else point.lpips


def recommend(
    points: Sequence[Point], *, calls: int = 40, realtime_calls: int = 2
) -> dict[str, Point]:
    """The best points: ``distortion``, ``balanced`` of at most ``calls``, ``realtime``.

    ``distortion`` has the highest PSNR, among points within 0.01 dB the one of fewest calls; so has
    ``realtime``, of at most ``realtime_calls`` and at least one. ``balanced`` is the point of the
    curve nearest to the best PSNR and the best perception, each scaled to the range of the curve.
    A preset for which no point qualifies is left out.
    """
    drawn = [point for point in points if point.calls > 0]
    chosen = {
        "distortion": _highest_psnr(drawn),
        "balanced": _nearest_to_both([p for p in drawn if p.calls <= calls]),
        "realtime": _highest_psnr([p for p in drawn if p.calls <= realtime_calls]),
    }
    return {name: point for name, point in chosen.items() if point is not None}


def _highest_psnr(points: Sequence[Point]) -> Point | None:
    if not points:
        return None
    # A hundredth of a dB is not seen, and never worth another call.
    enough = max(point.psnr for point in points) - 0.01
    return min((p for p in points if p.psnr >= enough), key=lambda p: (p.calls, -p.psnr))


def _nearest_to_both(points: Sequence[Point]) -> Point | None:
    curve = front(points)
    if not curve:
        return _highest_psnr(points)
    distortion = _scaled([-point.psnr for point in curve])
    perceived = _scaled([perception(point) or 0.0 for point in curve])
    distance = [a**2 + b**2 for a, b in zip(distortion, perceived, strict=True)]
    return curve[distance.index(min(distance))]


def _scaled(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / max(high - low, 1e-12) for value in values]


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other one beats at both, from the highest PSNR down.

    Empty where nothing that stands for perception was measured.
    """
    measured = [point for point in points if perception(point) is not None]
    kept: list[Point] = []
    best = float("inf")
    for point in sorted(measured, key=lambda p: (-p.psnr, perception(p), p.calls)):
        value = perception(point)
        assert value is not None
        if value < best:
            kept.append(point)
            best = value
    return kept


def draw(
    path: Path,
    points: Sequence[Point],
    chosen: Mapping[str, Point],
    others: Mapping[str, Mapping[str, float]],
) -> None:
    """Draw the curve into ``path``; raises MissingExtraError without matplotlib.

    ``others`` are results of other methods by name; those with the metrics of both axes are drawn.
    """
    figures = load("matplotlib.figure", "plot")
    figure = figures.Figure(figsize=(8, 6), layout="constrained")
    axes = figure.add_subplot()
    by_lpips = any(point.lpips is not None for point in points)
    for family in dict.fromkeys((point.method, point.start) for point in points if point.calls):
        members = [p for p in points if (p.method, p.start) == family and p.calls]
        label = f"{family[0]}, from {'the guess' if family[1] == 'guess' else 'noise'}"
        sizes = [12.0 + 8.0 * point.samples for point in members]
        positions = [p.psnr for p in members], [perception(p) for p in members]
        axes.scatter(*positions, s=sizes, alpha=0.6, label=label)
    alone = [point for point in points if not point.calls]
    axes.scatter(
        [p.psnr for p in alone],
        [perception(p) for p in alone],
        marker="x",
        c="k",
        label="predictor",
    )
    curve = front(points)
    axes.plot([p.psnr for p in curve], [perception(p) for p in curve], "k:", linewidth=1)
    for name, point in chosen.items():
        axes.annotate(
            f"{name}: {point.steps}x{point.samples}",
            (point.psnr, perception(point)),
            textcoords="offset points",
            xytext=(6, 6),
        )
    axis = "lpips" if by_lpips else "blur_gap"
    for name, values in others.items():
        if axis in values and "psnr" in values:
            axes.scatter([values["psnr"]], [values[axis]], marker="*", c="r")
            axes.annotate(name, (values["psnr"], values[axis]))
    axes.set_xlabel("PSNR in dB (right is better)")
    axes.set_ylabel("LPIPS" if by_lpips else "distance from the sharp pictures' blur effect")
    axes.set_title("Perception and distortion (lower right is better; larger dots: more samples)")
    axes.legend()
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    write_whole(path, image.getvalue())
