from __future__ import annotations

import msgspec

from runtime.bench.compare import compare, describe
from runtime.bench.rows import Row
from runtime.bench.statistics import summarize


def taken(row: Row, rounds_ms: list[list[float]]) -> Row:
    times = [time for one in rounds_ms for time in one]
    return msgspec.structs.replace(
        row, times_ms=tuple(map(tuple, rounds_ms)), latency=summarize(times)
    )


def verdict(row: Row, old: list[list[float]], new: list[list[float]]) -> str:
    (change,) = compare([taken(row, old)], [taken(row, new)])
    return change.verdict


QUIET = [[10.0, 10.1], [10.0, 10.2], [10.1, 10.1]]


def test_a_clear_change_is_marked(rows: list[Row]) -> None:
    slower = [[time * 1.5 for time in one] for one in QUIET]
    assert verdict(rows[0], QUIET, slower) == "slower"
    assert verdict(rows[0], slower, QUIET) == "faster"


def test_a_change_within_the_rounds_spread_is_not_marked(rows: list[Row]) -> None:
    noisy = [[8.0], [10.0], [16.0]]
    assert verdict(rows[0], QUIET, noisy) == "same"


def test_less_than_two_percent_is_no_change_on_a_quiet_machine(rows: list[Row]) -> None:
    assert verdict(rows[0], [[10.0]] * 5, [[10.15]] * 5) == "same"


def test_results_compared_with_themselves_do_not_change(rows: list[Row]) -> None:
    assert {change.verdict for change in compare(rows, rows)} == {"same"}


def test_what_only_one_file_has_is_not_compared(rows: list[Row]) -> None:
    assert len(compare(rows[:1], rows)) == 1


def test_the_lines_say_old_new_and_verdict(rows: list[Row]) -> None:
    (line,) = describe(compare([taken(rows[0], QUIET)], [taken(rows[0], [[30.0]] * 3)]))
    assert line.startswith("!")
    assert "30.00 ms" in line
