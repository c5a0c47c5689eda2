"""What is said of a series of times: percentiles that were observed, spreads, and a straight line.

Nothing is clipped, and no percentile is interpolated: each is a time that was really taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

_PERMILLE = {"p50": 500, "p90": 900, "p99": 990, "p999": 999}


class Latency(msgspec.Struct, frozen=True):
    """Wall-clock times of whole calls, in milliseconds; ``runs`` of them.

    A percentile is the smallest time that at least this share of the runs kept, so with fewer than
    a hundred runs p99 is the slowest one.
    """

    runs: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    mean: float
    sd: float


class Deadline(msgspec.Struct, frozen=True):
    """How many of ``runs`` took longer than one frame at ``fps`` frames per second."""

    fps: float
    misses: int
    runs: int


class Spread(msgspec.Struct, frozen=True):
    """A middle value and the range that holds the middle 80 % of what was seen."""

    median: float
    low: float
    high: float


class Line(msgspec.Struct, frozen=True):
    """``fixed_ms + ms_per_mpx * megapixels``, and the largest relative distance of a point from it.

    Fitted so that the squares of the relative distances are smallest; ``points`` of them.
    """

    fixed_ms: float
    ms_per_mpx: float
    largest_deviation: float
    points: int


def summarize(times_ms: Sequence[float]) -> Latency:
    """The figures of at least one time."""
    times = np.asarray(times_ms, np.float64)
    ordered = np.sort(times)
    # The smallest rank that covers the share, in whole numbers: 0.999 * 1000 is above 999.
    ranks = {name: -(-len(times) * share // 1000) for name, share in _PERMILLE.items()}
    observed = {name: round(float(ordered[rank - 1]), 4) for name, rank in ranks.items()}
    return Latency(
        runs=len(times),
        **observed,
        max=round(float(times.max()), 4),
        mean=round(float(times.mean()), 4),
        sd=round(float(times.std(ddof=1)) if len(times) > 1 else 0.0, 4),
    )


def deadline(times_ms: Sequence[float], fps: float) -> Deadline:
    """Count the times longer than 1000 / ``fps`` milliseconds."""
    misses = sum(time > 1000.0 / fps for time in times_ms)
    return Deadline(fps, misses, len(times_ms))


def spread(values: Sequence[float]) -> Spread:
    """Median and the 10th and 90th percentile of at least one value."""
    low, median, high = (round(float(v), 5) for v in np.percentile(values, (10, 50, 90)))
    return Spread(median, low, high)


def ratio(
    mine_ms: Sequence[Sequence[float]], others_ms: Sequence[Sequence[float]]
) -> Spread | None:
    """How many times as fast as the other I am, from rounds that were taken in turns.

    Each round gives one ratio of medians, so what slows the whole machine for a while hits both
    sides of it. None where no round has both.
    """
    rounds = [
        float(np.median(other) / np.median(mine))
        for mine, other in zip(mine_ms, others_ms, strict=False)
        if mine and other
    ]
    return spread(rounds) if rounds else None


def typical_times(rounds_ms: Sequence[Sequence[Sequence[float]]]) -> list[float]:
    """Of each of several things that took turns, the median time in the round of middle speed.

    A round's medians are taken relative to their geometric mean, so what slows a whole round does
    not count. Only rounds that all have enter, at least one; without any: the medians.
    """
    common = min(len(rounds) for rounds in rounds_ms)
    if common == 0 or not all(times for rounds in rounds_ms for times in rounds[:common]):
        return [float(np.median([t for times in rounds for t in times])) for rounds in rounds_ms]
    logs = np.log([[np.median(times) for times in rounds[:common]] for rounds in rounds_ms])
    pace = logs.mean(axis=0)
    return [float(t) for t in np.exp(np.median(logs - pace, axis=1) + np.median(pace))]


def fit_line(megapixels: Sequence[float], times_ms: Sequence[float]) -> Line | None:
    """Fit times over picture sizes; None with fewer than three different sizes."""
    if len(set(megapixels)) < 3:
        return None
    x, y = np.asarray(megapixels, np.float64), np.asarray(times_ms, np.float64)
    weighted = np.stack([1.0 / y, x / y], axis=1)
    (fixed, slope), *_ = np.linalg.lstsq(weighted, np.ones_like(y), rcond=None)
    deviation = np.abs((fixed + slope * x) / y - 1.0)
    return Line(
        round(float(fixed), 4), round(float(slope), 4), round(float(deviation.max()), 4), len(y)
    )


def is_stable(times_ms: Sequence[float], *, window: int, tolerance: float) -> bool:
    """Whether the medians of the last two windows are within ``tolerance`` of each other."""
    if len(times_ms) < 2 * window:
        return False
    before = float(np.median(times_ms[-2 * window : -window]))
    after = float(np.median(times_ms[-window:]))
    return abs(after - before) <= tolerance * before
