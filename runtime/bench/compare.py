"""Old results against new ones: what changed by more than the noise of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.bench.cases import Case
from runtime.bench.rows import Row
from runtime.bench.statistics import Spread, spread

# Less than this is no change worth a word, however quiet the machine was.
LEAST_CHANGE = 0.02


@dataclass(frozen=True)
class Change:
    """One case in both files: the new median over the old one, and whether that is news.

    ``verdict`` is "faster", "slower" or "same".
    """

    case: Case
    old_ms: float
    new_ms: float
    verdict: str

    @property
    def ratio(self) -> float:
        return self.new_ms / self.old_ms


def compare(old: Sequence[Row], new: Sequence[Row]) -> list[Change]:
    """Every case of ``new`` that ``old`` has as well, whatever the commit and the bundle's hash.

    The noise of a case is how its rounds' medians spread: a change counts where the ranges that
    hold the middle 80 % of them do not touch, and the medians differ by more than 2 %.
    """
    before = {_identity(row): row for row in old}
    pairs = [(before[_identity(row)], row) for row in new if _identity(row) in before]
    return [Change(b.case, b.latency.p50, a.latency.p50, _verdict(b, a)) for b, a in pairs]


def _identity(row: Row) -> tuple[object, ...]:
    case = row.case
    return (
        case.subject,
        case.build,
        case.precision,
        case.work,
        case.preset,
        case.graph,
        case.memory_mib,
        row.machine.device,
    )


def _verdict(old: Row, new: Row) -> str:
    before, after = _rounds(old), _rounds(new)
    small = abs(new.latency.p50 / old.latency.p50 - 1.0) <= LEAST_CHANGE
    if small or (after.low <= before.high and before.low <= after.high):
        return "same"
    return "slower" if after.median > before.median else "faster"


def _rounds(row: Row) -> Spread:
    return spread([float(np.median(times)) for times in row.times_ms if times])


def describe(changes: Sequence[Change]) -> list[str]:
    """One line for each case, the changed ones marked."""
    marks = {"faster": "+", "slower": "!", "same": " "}
    return [
        f"{marks[change.verdict]} {change.case.label}, {change.case.work}: "
        f"{change.old_ms:.2f} -> {change.new_ms:.2f} ms ({100.0 * (change.ratio - 1.0):+.1f} %, "
        f"{'within noise' if change.verdict == 'same' else change.verdict})"
        for change in changes
    ]
