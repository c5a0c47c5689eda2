"""What a camera run counts and measures: a line while it runs, a summary at its end."""

from __future__ import annotations

from collections import Counter, deque

import msgspec
import numpy as np

from runtime.camera.budget import Plan

_RECENT = 300
_KEPT = 100_000


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds over all frames of a run, none left out.

    ``max`` and ``mean`` count every frame. Percentiles too, up to 100,000 frames; of more, they are
    those of an evenly drawn sample of that size (``sampled``), so that memory stays flat.
    """

    p50: float
    p90: float
    p99: float
    max: float
    mean: float
    sampled: bool


class Summary(msgspec.Struct, frozen=True):
    """One run. Frames in = out + dropped + those abandoned when a run breaks off.

    ``latency_ms`` is glass to glass: from the moment the source handed a frame over until the sink
    had taken it; ``deblur_ms`` is the deblurring alone. Both are None where no frame came out.
    ``plans`` counts frames by steps and samples, ``sizes`` by width and height. ``over_budget``
    counts frames that took longer than the budget.
    """

    source: str
    sink: str
    engine: str
    bundle: str
    policy: str
    ended_by: str
    frames_in: int
    frames_out: int
    frames_dropped: int
    reconnections: int
    seconds: float
    fps: float
    latency_ms: Latency | None
    deblur_ms: Latency | None
    plans: dict[str, int]
    plan_changes: int
    sizes: dict[str, int]
    budget_ms: float | None
    over_budget: int | None


class Reservoir:
    """Milliseconds of any number of frames in fixed memory (Vitter 1985, algorithm R)."""

    def __init__(self, capacity: int = _KEPT) -> None:
        self._values = np.empty(capacity)
        self._count = 0
        self._sum = 0.0
        self._max = -np.inf
        self._random = np.random.default_rng(0)

    def add(self, value: float) -> None:
        capacity = len(self._values)
        place = self._count
        if self._count >= capacity:
            place = int(self._random.integers(self._count + 1))
        if place < capacity:
            self._values[place] = value
        self._count += 1
        self._sum += value
        self._max = max(self._max, value)

    def summary(self) -> Latency | None:
        """None where nothing was added."""
        if self._count == 0:
            return None
        values = self._values[: self._count]
        p50, p90, p99 = np.percentile(values, [50, 90, 99])
        return Latency(
            p50=float(p50),
            p90=float(p90),
            p99=float(p99),
            max=float(self._max),
            mean=self._sum / self._count,
            sampled=self._count > len(values),
        )


class Statistics:
    """Counts and times of one run; the writing stage alone adds to it."""

    def __init__(self, budget_ms: float | None = None) -> None:
        self.frames_out = 0
        self.over_budget = 0
        self.plan_changes = 0
        self.latency = Reservoir()
        self.deblur = Reservoir()
        self.plans: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self._budget_ms = budget_ms
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT)  # written_s, latency_ms

    def written(
        self,
        size: tuple[int, int],
        plan: Plan,
        *,
        written_s: float,
        latency_ms: float,
        deblur_ms: float,
        budgeted_ms: float,
    ) -> None:
        """Count one frame; ``budgeted_ms`` is the time that the budget is held against."""
        self.frames_out += 1
        self.latency.add(latency_ms)
        self.deblur.add(deblur_ms)
        self.plans[str(plan)] += 1
        self.sizes[f"{size[1]}x{size[0]}"] += 1
        self._recent.append((written_s, latency_ms))
        if self._budget_ms is not None and budgeted_ms > self._budget_ms:
            self.over_budget += 1

    def line(self, frames_in: int, dropped: int, plan: Plan) -> str:
        """The state in one line; rate and latency are those of the latest 300 frames."""
        line = f"in {frames_in}  out {self.frames_out}  dropped {dropped}"
        if self._recent:
            p50, p90, p99 = np.percentile([latency for _, latency in self._recent], [50, 90, 99])
            line += f"  {self._recent_fps():.1f} fps  latency p50 {p50:.1f} p90 {p90:.1f}"
            line += f" p99 {p99:.1f} ms"
        return f"{line}  {plan}"

    def _recent_fps(self) -> float:
        seconds = self._recent[-1][0] - self._recent[0][0]
        return (len(self._recent) - 1) / seconds if seconds > 0.0 else 0.0
