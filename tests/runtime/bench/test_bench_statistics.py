from __future__ import annotations

import pytest

from runtime.bench.statistics import (
    deadline,
    fit_line,
    is_stable,
    ratio,
    summarize,
    typical_times,
)


def test_percentiles_are_times_that_were_taken() -> None:
    times = [float(time) for time in range(1, 1001)]
    found = summarize(times)
    assert (found.p50, found.p90, found.p99, found.p999, found.max) == (500, 900, 990, 999, 1000)


def test_with_few_runs_the_tail_is_the_slowest_run() -> None:
    assert summarize([1.0, 1.0, 1.0, 9.0]).p99 == 9.0


def test_a_single_outlier_is_neither_clipped_nor_averaged_away() -> None:
    assert summarize([1.0] * 999 + [500.0]).max == 500.0


def test_one_run_has_no_deviation() -> None:
    assert summarize([3.0]).sd == 0.0


def test_a_deadline_is_missed_by_what_takes_longer_than_a_frame() -> None:
    assert deadline([33.0, 34.0, 40.0], 30.0).misses == 2


def test_the_ratio_is_not_moved_by_what_slows_both_sides() -> None:
    found = ratio([[10.0], [20.0], [40.0]], [[20.0], [40.0], [80.0]])
    assert found is not None
    assert (found.median, found.low, found.high) == (2.0, 2.0, 2.0)


def test_without_a_common_round_there_is_no_ratio() -> None:
    assert ratio([], [[1.0]]) is None


def test_typical_times_are_not_moved_by_what_slows_a_whole_round() -> None:
    quick, slow = [[10.0], [20.0], [10.0]], [[30.0], [60.0], [30.0]]
    assert typical_times([quick, slow]) == pytest.approx([10.0, 30.0])


def test_typical_times_of_a_thing_with_more_rounds_are_those_it_shares() -> None:
    assert typical_times([[[10.0], [10.0], [99.0]], [[30.0], [30.0]]]) == pytest.approx(
        [10.0, 30.0]
    )


def test_the_line_finds_fixed_and_growing_time() -> None:
    line = fit_line([0.1, 0.5, 1.0], [15.0, 55.0, 105.0])
    assert line is not None
    assert line.fixed_ms == pytest.approx(5.0)
    assert line.ms_per_mpx == pytest.approx(100.0)
    assert line.largest_deviation == pytest.approx(0.0, abs=1e-9)


def test_the_line_tells_its_largest_relative_miss() -> None:
    line = fit_line([1.0, 2.0, 3.0], [10.0, 30.0, 30.0])
    assert line is not None
    assert line.largest_deviation > 0.1


def test_two_sizes_make_no_line() -> None:
    assert fit_line([1.0, 2.0], [1.0, 2.0]) is None


def test_falling_times_are_not_stable_and_level_ones_are() -> None:
    assert not is_stable([9.0, 9.0, 5.0, 5.0], window=2, tolerance=0.05)
    assert is_stable([9.0, 5.0, 5.0, 5.1, 5.0], window=2, tolerance=0.05)
