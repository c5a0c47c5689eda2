"""Taking times: warm-up until stable, then rounds in which all that is compared takes turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from runtime.bench.cases import Plan
from runtime.bench.meters import Block, Meter
from runtime.bench.statistics import is_stable

Call = Callable[[], object]


@dataclass(frozen=True)
class Timed:
    """A call to time.

    ``stages`` tells the milliseconds by stage of the call that ended last; ``floor`` makes the call
    of the bare engine that does the same work, or None. Both may be missing.
    """

    call: Call
    stages: Callable[[], dict[str, float]] | None = None
    floor: Callable[[], Call | None] | None = None


@dataclass
class Record:
    """What was seen of one :class:`Timed`, in milliseconds; one inner list for each round."""

    warm_up_runs: int = 0
    warm_up_stable: bool = False
    rounds_ms: list[list[float]] = field(default_factory=list)
    stages_ms: list[dict[str, float]] = field(default_factory=list)
    floors_ms: list[float] = field(default_factory=list)
    idle_ms: list[float] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    @property
    def times_ms(self) -> list[float]:
        """All rounds in a row."""
        return [time for round_ms in self.rounds_ms for time in round_ms]

    def is_enough(self, plan: Plan) -> bool:
        times = self.times_ms
        return len(times) >= plan.runs and sum(times) >= 1000.0 * plan.seconds


def measure(
    sets: Sequence[Sequence[Timed]],
    plan: Plan,
    meter: Meter | None = None,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> list[list[Record]]:
    """Time everything in ``sets`` side by side; the records are in its order.

    What is in one set is compared: it takes its turns until all of it has enough. The sets take
    turns with each other as long as they go on.
    """
    records = [[Record() for _ in timed] for timed in sets]
    everything = [
        pair for both in zip(sets, records, strict=True) for pair in zip(*both, strict=True)
    ]
    for index, (one, record) in enumerate(everything):
        progress(f"warming up {index + 1} of {len(everything)}")
        record.warm_up_runs, record.warm_up_stable = warm_up(one.call, plan)
    floors = [_open_floors(timed, plan) for timed in sets]
    number = 0
    while unfinished := [
        both
        for both in zip(sets, records, floors, strict=True)
        if not all(record.is_enough(plan) for record in both[1])
    ]:
        number += 1
        progress(f"round {number}")
        for both in unfinished:
            for one, record, floor in zip(*both, strict=True):
                _take_round(one, record, floor, plan, meter)
    for one, record in everything:
        record.idle_ms.extend(_after_idle(one.call, plan))
    return records


def warm_up(call: Call, plan: Plan) -> tuple[int, bool]:
    """Call until times are stable or time is up; how many calls, and whether they were stable."""
    times: list[float] = []
    ends = time.monotonic() + plan.warm_seconds
    while not times or time.monotonic() < ends:
        times.append(clocked_ms(call))
        if is_stable(times, window=plan.warm_window, tolerance=plan.warm_tolerance):
            return len(times), True
    return len(times), False


def clocked_ms(call: Call) -> float:
    """Wall-clock milliseconds of one call."""
    began = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - began) / 1e6


def median_stages(stages_ms: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each stage over all calls, in the order in which stages came up."""
    names = dict.fromkeys(name for stages in stages_ms for name in stages)
    return {
        name: round(float(np.median([s[name] for s in stages_ms if name in s])), 4)
        for name in names
    }


def outside_engine(stages_ms: Sequence[dict[str, float]]) -> list[float]:
    """For each call, the share of its total that was spent in neither predictor nor steps."""
    shares = []
    for stages in stages_ms:
        steps = [value for name, value in stages.items() if name.startswith("step ")]
        inside = stages.get("predictor", 0.0) + (sum(steps) or stages.get("steps", 0.0))
        if stages.get("total", 0.0) > 0.0:
            shares.append(1.0 - inside / stages["total"])
    return shares


def _open_floors(timed: Sequence[Timed], plan: Plan) -> list[Call | None]:
    """The bare calls, each made once before it counts."""
    floors = [one.floor() if one.floor and plan.floor_rounds else None for one in timed]
    for floor in floors:
        if floor is not None:
            floor()
    return floors


def _take_round(
    one: Timed, record: Record, floor: Call | None, plan: Plan, meter: Meter | None
) -> None:
    time.sleep(plan.settle_seconds)
    if meter is not None:
        meter.begin()
    record.rounds_ms.append(list(_block(one, record, plan)))
    if meter is not None:
        record.blocks.append(meter.end())
    if floor is not None and len(record.rounds_ms) <= plan.floor_rounds:
        record.floors_ms.append(clocked_ms(floor))


def _block(one: Timed, record: Record, plan: Plan) -> Iterator[float]:
    taken_ms = 0.0
    while taken_ms == 0.0 or taken_ms < 1000.0 * plan.block_seconds:
        taken = clocked_ms(one.call)
        if one.stages is not None:
            record.stages_ms.append(one.stages())
        taken_ms += taken
        yield taken


def _after_idle(call: Call, plan: Plan) -> Iterator[float]:
    for _ in range(plan.idle_runs):
        time.sleep(plan.idle_seconds)
        yield clocked_ms(call)
