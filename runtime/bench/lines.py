"""The straight lines of time over the picture's size."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.bench.cases import Case
from runtime.bench.rows import Row
from runtime.bench.statistics import Line, fit_line, typical_times


def times_over_pixels(rows: Sequence[Row]) -> tuple[list[float], list[float]]:
    """Megapixels in a call and typical milliseconds of each row.

    Rows that took turns are compared within their rounds, so that a machine whose speed changes
    slows all sizes alike; others by their medians.
    """
    together = len({row.turns_began for row in rows}) == 1 and rows[0].turns_began is not None
    times = typical_times([row.times_ms for row in rows]) if together else None
    return (
        [row.case.work.megapixels for row in rows],
        times or [row.latency.p50 for row in rows],
    )


def lines_over_pixels(rows: Sequence[Row]) -> dict[str, Line]:
    """For each subject at its steps, samples and batch: the straight line of time over pixels."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(series_name(row.case), []).append(row)
    fits = {name: fit_line(*times_over_pixels(group)) for name, group in groups.items()}
    return {name: line for name, line in fits.items() if line is not None}


def series_name(case: Case) -> str:
    """What stays the same along a line over sizes."""
    work = case.work
    extra = f", {work.samples} samples" if work.samples != 1 else ""
    extra += f", batch {work.batch}" if work.batch != 1 else ""
    return f"{case.label}, {work.steps} steps{extra}"
