"""Which steps and samples a time budget allows, from measured times only.

Every plan has a cost, measured on a frame of the size that is coming. While frames pass, two
windows are kept: ``load``, how much longer deblurring took than its plan's cost (all plans suffer
alike when the machine is busy or hot), and ``rest``, what a frame spent outside of deblurring.
What a plan would take now is the 99th percentile of the load times its cost, plus the 99th
percentile of the rest: an upper bound of the sum's, so an error is on the safe side.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

import numpy as np

from runtime.errors import OptionError
from runtime.samplers import SamplerConfig, with_steps

Measure = Callable[["Plan"], float]

_STEPS = (0, 1, 2, 3, 4, 6, 8, 10, 15, 20, 30, 50, 100, 200, 300, 500)
_REPEATS = 3
_HOPELESS = 1.5  # so many budgets: no use in measuring it well, or what costs more


@dataclass(frozen=True)
class Plan:
    """How one frame is deblurred: ``steps`` (T; 0: the predictor alone) and ``samples``."""

    steps: int
    samples: int

    @property
    def work(self) -> int:
        """Denoiser calls for one frame."""
        return self.steps * self.samples

    def __str__(self) -> str:
        return f"T={self.steps}" + (f" x {self.samples} samples" if self.samples > 1 else "")


def ladder(top: Plan, sampler: SamplerConfig) -> tuple[Plan, ...]:
    """Plans up to ``top``, cheapest first: more steps before more samples.

    Steps that ``sampler`` refuses are left out.
    """
    steps = sorted({count for count in _STEPS if count < top.steps} | {top.steps})
    plans = [Plan(count, 1) for count in steps if _accepts(sampler, count)]
    samples = 2
    while top.steps > 0 and samples < 2 * top.samples:
        plans.append(Plan(top.steps, min(samples, top.samples)))
        samples *= 2
    return tuple(plans)


def _accepts(sampler: SamplerConfig, steps: int) -> bool:
    try:
        with_steps(sampler, steps)
    except OptionError:
        return False
    return True


class Budget:
    """Keeps the 99th percentile of a frame's time within ``budget_ms`` by choosing the plan.

    ``plans`` come cheapest first. A plan that no longer fits is left as soon as the window says so,
    for the best one that does; the next better one is taken once it would have stayed below
    ``margin`` of the budget for ``patience`` frames. Where that proves wrong, it takes twice the
    patience to try that plan again, so that the plan does not swing. May be used from several
    threads.
    """

    def __init__(
        self,
        budget_ms: float,
        plans: Iterable[Plan],
        *,
        window: int = 100,
        margin: float = 0.9,
        patience: int = 100,
    ) -> None:
        self._budget_ms = budget_ms
        self._plans = tuple(plans)
        self._margin = margin
        self._first_patience = patience
        self._patience = [patience] * len(self._plans)  # before each plan is taken
        self._load: deque[float] = deque(maxlen=window)
        self._rest_ms: deque[float] = deque(maxlen=window)
        self._costs_ms: dict[tuple[Hashable, Plan], float] = {}
        self._size: Hashable = None
        self._rung = 0
        self._frames_here = 0
        self._raised = False
        self._lock = threading.Lock()

    @property
    def plan(self) -> Plan:
        """The plan for the next frame."""
        return self._plans[self._rung]

    @property
    def budget_ms(self) -> float:
        return self._budget_ms

    def knows(self, size: Hashable) -> bool:
        """Whether frames of ``size`` were measured and are the ones in use."""
        return size == self._size

    def measure(self, size: Hashable, measure: Measure) -> str:
        """Measure what plans cost at ``size`` and choose one; returns what was chosen, and why.

        ``measure(plan)`` deblurs a frame and returns its milliseconds. Plans are tried from the
        cheapest until one takes over one and a half budgets; each is run once unmeasured, which
        also lets an engine capture its graph. The costlier ones are extrapolated.
        """
        if (size, self._plans[0]) not in self._costs_ms:
            costs = _extrapolate(self._plans, self._measured(measure))
            self._costs_ms.update({(size, plan): cost for plan, cost in costs.items()})
        with self._lock:
            self._load.clear()
            self._rest_ms.clear()
            self._size = size
            self._rung = self._best()
            self._frames_here, self._raised = 0, False
        expected = self._expected_ms(self._rung)
        verdict = "" if expected <= self._budget_ms else "; even the cheapest plan does not fit"
        return f"budget {self._budget_ms:g} ms: {self.plan}, which takes {expected:.1f} ms{verdict}"

    def _measured(self, measure: Measure) -> dict[Plan, float]:
        costs: dict[Plan, float] = {}
        for plan in self._plans:
            measure(plan)
            times_ms = [measure(plan)]
            while len(times_ms) < _REPEATS and times_ms[-1] <= _HOPELESS * self._budget_ms:
                times_ms.append(measure(plan))
            costs[plan] = float(np.median(times_ms))
            if costs[plan] > _HOPELESS * self._budget_ms:
                break
        return costs

    def observe(self, size: Hashable, plan: Plan, deblur_ms: float, total_ms: float) -> str | None:
        """Take in one frame's times; returns what changed and why, or None.

        ``total_ms`` is the time that the budget is for, ``deblur_ms`` the part that depends on
        ``plan``.
        """
        with self._lock:
            cost = self._costs_ms.get((size, plan))
            if cost is None or size != self._size:
                return None
            self._load.append(deblur_ms / cost)
            self._rest_ms.append(total_ms - deblur_ms)
            self._frames_here += 1
            return self._lower() or self._raise()

    def _lower(self) -> str | None:
        expected = self._expected_ms(self._rung)
        # Five frames: one slow frame at the very start is no trend.
        if self._rung == 0 or expected <= self._budget_ms or len(self._load) < 5:
            return None
        patience = self._patience[self._rung]
        if self._raised and self._frames_here <= patience:
            self._patience[self._rung] = min(2 * patience, 32 * self._first_patience)
        return self._move(min(self._best(), self._rung - 1), expected, raised=False)

    def _raise(self) -> str | None:
        if self._rung + 1 == len(self._plans):
            return None
        if self._frames_here < self._patience[self._rung + 1]:
            return None
        expected = self._expected_ms(self._rung + 1)
        if expected > self._margin * self._budget_ms:
            return None
        self._patience[self._rung] = self._first_patience  # this one has held
        return self._move(self._rung + 1, expected, raised=True)

    def _move(self, rung: int, expected_ms: float, *, raised: bool) -> str:
        before = self.plan
        self._rung, self._raised, self._frames_here = rung, raised, 0
        cause = f"which would take {expected_ms:.1f} ms" if raised else f"p99 {expected_ms:.1f} ms"
        return f"budget {self._budget_ms:g} ms: {before} -> {self.plan}, {cause}"

    def _best(self) -> int:
        """The highest rung that fits, or the lowest."""
        fitting = [
            rung
            for rung in range(len(self._plans))
            if self._expected_ms(rung) <= self._margin * self._budget_ms
        ]
        return max(fitting, default=0)

    def _expected_ms(self, rung: int) -> float:
        cost = self._costs_ms[self._size, self._plans[rung]]
        return _p99(self._load, 1.0) * cost + _p99(self._rest_ms, 0.0)


def _p99(values: deque[float], when_empty: float) -> float:
    return float(np.percentile(list(values), 99)) if values else when_empty


def _extrapolate(plans: tuple[Plan, ...], measured: dict[Plan, float]) -> dict[Plan, float]:
    """A cost for every plan: measured, or along the line through the measured ones.

    With a single plan measured the others are unknown and get its cost for each denoiser call
    beyond, which a predictor and a step of like size come near.
    """
    work = np.array([plan.work for plan in measured], float)
    costs = np.array(list(measured.values()))
    slope = float(np.polyfit(work, costs, 1)[0]) if len(measured) > 1 else float(costs[0])
    last = list(measured)[-1]
    return {
        plan: measured.get(plan, measured[last] + max(slope, 0.0) * (plan.work - last.work))
        for plan in plans
    }
