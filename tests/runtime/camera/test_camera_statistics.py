from __future__ import annotations

import numpy as np

from runtime.camera.budget import Plan
from runtime.camera.statistics import Reservoir, Statistics


def test_percentiles_are_those_of_all_values() -> None:
    values = np.random.default_rng(1).exponential(20.0, 5000)
    reservoir = Reservoir()
    for value in values:
        reservoir.add(float(value))
    summary = reservoir.summary()
    assert summary is not None
    found = [summary.p50, summary.p90, summary.p99, summary.max]
    assert np.allclose(found, np.percentile(values, [50, 90, 99, 100]))
    assert np.isclose(summary.mean, values.mean())
    assert not summary.sampled


def test_a_long_run_keeps_a_fair_sample_and_the_exact_maximum() -> None:
    reservoir = Reservoir(capacity=2000)
    for value in range(20_000):
        reservoir.add(float(value))
    summary = reservoir.summary()
    assert summary is not None
    assert summary.sampled
    assert (summary.max, summary.mean) == (19_999.0, 9999.5)
    # The standard error of the median of 2000 uniform draws is 1.1 % of their range.
    assert abs(summary.p50 - 10_000.0) < 4 * 0.011 * 20_000.0


def test_nothing_measured_is_none_and_not_zero() -> None:
    assert Reservoir().summary() is None


def test_the_line_names_what_a_person_wants_to_know() -> None:
    statistics = Statistics()
    for number in range(11):
        statistics.written(
            (480, 640),
            Plan(4, 1),
            written_s=number * 0.04,
            latency_ms=20.0,
            deblur_ms=15.0,
            budgeted_ms=20.0,
        )
    line = statistics.line(frames_in=14, dropped=3, plan=Plan(4, 1))
    assert line == (
        "in 14  out 11  dropped 3  25.0 fps  latency p50 20.0 p90 20.0 p99 20.0 ms  T=4"
    )


def test_frames_over_the_budget_are_counted() -> None:
    statistics = Statistics(budget_ms=10.0)
    for budgeted_ms in (9.0, 11.0, 12.0):
        statistics.written(
            (8, 8),
            Plan(0, 1),
            written_s=0.0,
            latency_ms=1.0,
            deblur_ms=1.0,
            budgeted_ms=budgeted_ms,
        )
    assert statistics.over_budget == 2
