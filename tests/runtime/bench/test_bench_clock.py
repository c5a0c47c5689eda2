from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from runtime.bench.cases import Plan
from runtime.bench.clock import Timed, measure, outside_engine, warm_up

PLAN = Plan(
    runs=3,
    seconds=0.0,
    warm_seconds=0.0,
    block_seconds=0.0,
    settle_seconds=0.0,
    idle_runs=2,
    idle_seconds=0.0,
    floor_rounds=2,
)


def noting(order: list[str], name: str) -> Callable[[], None]:
    return lambda: order.append(name)


def test_what_is_compared_takes_turns() -> None:
    order: list[str] = []
    measure([[Timed(noting(order, "A")), Timed(noting(order, "B"))]], PLAN)
    warm, rounds, idle = order[:2], order[2:8], order[8:]
    assert "".join(warm) == "AB"
    assert "".join(rounds) == "ABABAB"
    assert "".join(idle) == "AABB"


def test_sets_take_turns_until_each_has_enough() -> None:
    order: list[str] = []
    slow = Timed(lambda: (order.append("S"), time.sleep(0.004)))
    quick = Timed(lambda: (order.append("q"), time.sleep(0.001)))
    plan = replace(PLAN, runs=2, seconds=0.012, idle_runs=0, floor_rounds=0)
    measure([[slow], [quick]], plan)
    assert "".join(order).startswith("SqSqSq")
    assert "".join(order).endswith("qq")


def test_every_timed_call_is_kept() -> None:
    ((record,),) = measure([[Timed(lambda: time.sleep(0.002))]], PLAN)
    assert len(record.times_ms) == 3
    assert min(record.times_ms) >= 2.0
    assert len(record.idle_ms) == 2


def test_a_block_lasts_as_long_as_asked() -> None:
    plan = Plan(runs=1, seconds=0.0, warm_seconds=0.0, block_seconds=0.02, idle_runs=0)
    ((record,),) = measure([[Timed(lambda: time.sleep(0.002))]], plan)
    assert sum(record.rounds_ms[0]) >= 20.0


def test_the_bare_engine_is_timed_beside_and_not_inside() -> None:
    order: list[str] = []
    timed = Timed(noting(order, "A"), floor=lambda: noting(order, "f"))
    ((record,),) = measure([[timed]], PLAN)
    assert len(record.floors_ms) == 2
    assert "".join(order) == "AfAfAfAAA"


def test_warming_up_ends_when_times_are_stable() -> None:
    plan = Plan(warm_window=2, warm_tolerance=0.9, warm_seconds=5.0)
    runs, stable = warm_up(lambda: time.sleep(0.003), plan)
    assert stable
    assert runs < 10


def test_a_warm_up_that_ran_out_of_time_says_so() -> None:
    plan = Plan(warm_window=50, warm_seconds=0.0)
    assert warm_up(lambda: None, plan) == (1, False)


def test_what_is_neither_predictor_nor_steps_is_outside_the_engine() -> None:
    told = {"predictor": 2.0, "step 1": 3.0, "step 2": 3.0, "steps": 6.0, "total": 10.0}
    assert outside_engine([told]) == pytest.approx([0.2])
    assert outside_engine([{"predictor": 2.0, "steps": 7.0, "total": 10.0}]) == pytest.approx([0.1])


def test_an_engine_that_tells_no_stages_has_no_share() -> None:
    assert outside_engine([{}]) == []
