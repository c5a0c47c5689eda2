"""Continuous levels: whatever number of steps a sampler takes, its levels were trained."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.samplers import SamplerConfig, compile_table
from train.grids import paper_grid, short_grid
from train.objective import draw_levels


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    return np.sort(draw_levels(200_000, np.random.default_rng(0)).numpy())


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 33, 128, 500])
def test_levels_of_any_number_of_steps_are_among_those_that_training_draws(
    drawn: np.ndarray, steps: int
) -> None:
    for sampler in (
        SamplerConfig(steps=steps, beta_end=0.5),
        SamplerConfig("ddim", "log-snr", steps, cleanest=9.0, noisiest=-4.0),
    ):
        # Below a log-SNR of -9 less than a ten-thousandth of the variance is left to be seen.
        levels = np.maximum(compile_table(sampler, "x0").column("level"), -9.0)
        nearest = np.abs(drawn[np.searchsorted(drawn, levels).clip(0, len(drawn) - 1)] - levels)
        assert nearest.max() < 0.1


def test_no_sampler_of_the_grids_asks_for_what_training_never_draws(drawn: np.ndarray) -> None:
    for sampler in (*paper_grid().samplers, *short_grid().samplers):
        levels = compile_table(sampler, "eps").column("level")
        if sampler.steps:
            assert levels.max() < drawn[-1]
            assert np.maximum(levels, -9.0).min() > drawn[0]


def test_each_sample_of_a_batch_has_a_level_of_its_own(drawn: np.ndarray) -> None:
    assert len(np.unique(drawn)) > 0.99 * len(drawn)
