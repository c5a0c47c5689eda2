"""Scores: settings, and how well a spread tells the error."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.errors import OptionError
from train.measuring.scores import measure_spread, parse_setting


def test_samples_drawn_like_the_truth_have_a_calibrated_spread() -> None:
    rng = np.random.default_rng(0)
    sigma = np.repeat([2.0, 8.0], 50_000).reshape(-1, 1, 1)
    draws = [(sigma * rng.standard_normal((100_000, 1, 3))).astype("f4") for _ in range(6)]
    samples, truth = np.stack(draws[:5]), draws[5]
    spread = measure_spread(samples.std(axis=0), samples.mean(axis=0) - truth, 5)
    # 600,000 squares: their mean is known to about half a percent.
    assert spread.ratio == pytest.approx(1.0, abs=0.02)
    assert spread.correlation > 0.3


@pytest.mark.parametrize("text", ["10", "x4", "10x", "axb"])
def test_a_setting_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="10x4"):
        parse_setting(text)
