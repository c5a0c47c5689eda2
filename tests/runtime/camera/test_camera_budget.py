"""The budget controller on made-up times: nothing here waits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from runtime.bundle import open_bundle
from runtime.camera.budget import Budget, Plan, ladder
from runtime.samplers import SamplerConfig

PLANS = tuple(Plan(steps, 1) for steps in (0, 1, 2, 4, 8))
SIZE = (480, 640)


def cost_ms(plan: Plan, load: float = 1.0) -> float:
    """A predictor of 10 ms and denoiser calls of 5 ms."""
    return load * (10.0 + 5.0 * plan.work)


def started(budget_ms: float, load: float = 1.0, **options: float) -> Budget:
    budget = Budget(budget_ms, PLANS, **options)  # type: ignore[arg-type]
    budget.measure(SIZE, lambda plan: cost_ms(plan, load))
    return budget


def play(
    budget: Budget, frames: int, load: Callable[[int], float], rest_ms: float = 1.0
) -> tuple[list[Plan], list[float]]:
    """Plans used and total milliseconds of that many frames."""
    plans, totals = [], []
    for frame in range(frames):
        plan = budget.plan
        spent = cost_ms(plan, load(frame))
        budget.observe(SIZE, plan, spent, spent + rest_ms)
        plans.append(plan)
        totals.append(spent + rest_ms)
    return plans, totals


def test_the_best_plan_that_fits_is_chosen() -> None:
    assert started(33.0).plan == Plan(2, 1)  # 20 ms; four steps take 30 of the 33, above 90 %


def test_where_nothing_fits_the_cheapest_is_taken_and_that_is_said() -> None:
    budget = Budget(5.0, PLANS)
    said = budget.measure(SIZE, cost_ms)
    assert budget.plan == Plan(0, 1)
    assert "does not fit" in said


def test_plans_far_beyond_the_budget_are_not_run() -> None:
    run: list[Plan] = []

    def measure(plan: Plan) -> float:
        run.append(plan)
        return cost_ms(plan)

    Budget(12.0, PLANS).measure(SIZE, measure)
    assert max(run, key=lambda plan: plan.work) == Plan(2, 1)  # 20 ms: over 1.5 budgets


def test_load_lowers_the_plan_and_its_end_raises_it_again() -> None:
    budget = started(33.0)
    before = budget.plan
    slow, _ = play(budget, 200, lambda _: 2.0)
    assert slow[-1] == Plan(0, 1)  # 2 x 15 ms + 1 ms would exceed 90 % of 33 ms
    fast, _ = play(budget, 1000, lambda _: 1.0)
    assert fast[-1] == before


def test_the_99th_percentile_meets_the_budget_once_the_load_is_known() -> None:
    random = np.random.default_rng(0)
    budget = started(33.0)
    _, totals = play(budget, 2000, lambda _: 1.0 + 0.4 * random.random() ** 4)
    assert np.percentile(totals[100:], 99) <= 33.0


def test_one_slow_frame_in_a_hundred_changes_nothing() -> None:
    budget = started(33.0)
    plans, _ = play(budget, 500, lambda frame: 5.0 if frame == 300 else 1.0)
    assert plans[-1] == plans[250]


def test_a_plan_that_proves_too_slow_is_tried_ever_more_rarely() -> None:
    # Four steps are measured as cheap but are not: the extrapolation of a busy start.
    budget = Budget(33.0, PLANS, patience=50)
    budget.measure(SIZE, lambda plan: 20.0 if plan.work >= 2 else 10.0 + 5.0 * plan.work)
    tries = []
    for frame in range(6000):
        plan = budget.plan
        spent = 60.0 if plan.work >= 4 else cost_ms(plan)
        if budget.observe(SIZE, plan, spent, spent) and budget.plan.work >= 4:
            tries.append(frame)
    gaps = np.diff(tries)
    assert len(tries) < 12
    assert gaps[-1] > gaps[0]


def test_time_outside_of_deblurring_counts() -> None:
    budget = started(33.0)
    plans, totals = play(budget, 50, lambda _: 1.0, rest_ms=15.0)
    assert plans[-1] == Plan(0, 1)
    assert totals[-1] <= 33.0


def test_another_size_is_measured_anew_and_remembered() -> None:
    budget = started(33.0)
    small = (48, 64)
    assert not budget.knows(small)
    budget.measure(small, lambda plan: cost_ms(plan, 0.25))
    assert budget.plan == Plan(8, 1)
    budget.measure(SIZE, lambda _: pytest.fail("this size is known"))
    assert budget.plan == Plan(2, 1)


def test_frames_of_the_size_before_change_nothing() -> None:
    budget = started(33.0)
    assert all(budget.observe((1, 1), budget.plan, 1e6, 1e6) is None for _ in range(100))


def test_steps_come_before_samples() -> None:
    sampler = open_bundle().preset("balanced").sampler
    plans = ladder(Plan(10, 4), sampler)
    assert [plan.steps for plan in plans if plan.samples == 1] == [0, 1, 2, 3, 4, 6, 8, 10]
    assert [plan.samples for plan in plans if plan.samples > 1] == [2, 4]
    assert list(plans) == sorted(plans, key=lambda plan: plan.work)


def test_steps_that_the_sampler_refuses_are_left_out() -> None:
    plans = ladder(Plan(10, 1), SamplerConfig())  # the paper's schedule, from pure noise
    assert Plan(1, 1) not in plans
    assert plans[0] == Plan(0, 1)


def test_the_predictor_alone_has_no_samples() -> None:
    assert ladder(Plan(0, 4), SamplerConfig()) == (Plan(0, 1),)
