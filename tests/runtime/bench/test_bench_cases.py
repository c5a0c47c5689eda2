from __future__ import annotations

import pytest

from runtime.bench.cases import Plan, Work, check_plan, matrix, parse_size
from runtime.errors import OptionError


def test_the_matrix_is_every_combination_small_pictures_first() -> None:
    works = list(matrix([(64, 64), (32, 32)], [1, 4], [1, 2], [1]))
    assert len(works) == 8
    assert works[0] == Work(32, 32, 1, 1, 1)
    assert works[-1] == Work(64, 64, 4, 2, 1)


def test_the_predictor_alone_is_measured_once_whatever_the_samples() -> None:
    assert list(matrix([(8, 8)], [0], [2, 4], [1])) == [Work(8, 8, 0, 1, 1)]


def test_a_size_is_width_times_height() -> None:
    assert parse_size("1280x720") == (1280, 720)


@pytest.mark.parametrize("text", ["1280", "x720", "0x8", "8x-8", "axb", "8x8x8"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="WIDTHxHEIGHT"):
        parse_size(text)


@pytest.mark.parametrize(
    "plan", [Plan(runs=0), Plan(seconds=-1.0), Plan(cold_runs=-1), Plan(fps=(0.0,))]
)
def test_a_plan_that_cannot_be_is_refused(plan: Plan) -> None:
    with pytest.raises(OptionError, match="wanted"):
        check_plan(plan)


def test_negative_steps_are_refused() -> None:
    with pytest.raises(OptionError, match="--steps"):
        list(matrix([(8, 8)], [-1], [1], [1]))
