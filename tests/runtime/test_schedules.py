from __future__ import annotations

import numpy as np
import pytest

from runtime.errors import OptionError
from runtime.schedules import abar_of, linear_beta, log_snr, log_snr_spaced


def test_the_papers_ten_steps_leave_a_fifth_of_the_signal() -> None:
    assert np.sqrt(linear_beta(10, 0.5)[-1]) == pytest.approx(0.21, abs=0.005)


def test_the_papers_four_steps_leave_half_of_the_signal() -> None:
    assert np.sqrt(linear_beta(4, 0.5)[-1]) == pytest.approx(0.53, abs=0.005)


def test_training_levels_reach_from_clean_to_noise() -> None:
    levels = log_snr(linear_beta(2000, 1e-2))
    assert levels[0] == pytest.approx(13.8, abs=0.1)
    assert levels[-1] == pytest.approx(-10.0, abs=0.1)


def test_log_snr_and_abar_are_inverse() -> None:
    abar = linear_beta(50, 0.2)
    assert abar_of(log_snr(abar)) == pytest.approx(abar, rel=1e-12)


def test_log_snr_spacing_is_even() -> None:
    steps = np.diff(log_snr(log_snr_spaced(5, 6.0, -2.0)))
    assert steps == pytest.approx(np.full(4, -2.0))


@pytest.mark.parametrize("arguments", [(0, 0.5), (10, 1.0), (10, 0.0)])
def test_an_impossible_linear_schedule_is_refused(arguments: tuple[int, float]) -> None:
    with pytest.raises(OptionError, match="wanted"):
        linear_beta(*arguments)
