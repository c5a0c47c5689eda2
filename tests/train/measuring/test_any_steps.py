"""Continuous levels: whatever number of steps a sampler takes, its levels were trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from runtime.loop import sample_residual
from runtime.noise import normals
from runtime.samplers import COLUMNS, SamplerConfig, Table, compile_table
from train.config import LossConfig, ModelConfig
from train.measuring.grids import paper_grid, short_grid
from train.measuring.inference import TorchEngine
from train.network import Model
from train.objective import compute_losses, draw_levels
from train.optimizer import build_optimizers

STEPS = 20


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


@pytest.fixture(scope="module")
def trained() -> Model:
    """A small model after some steps of the joint objective."""
    torch.manual_seed(0)
    model = Model(ModelConfig(4, 4, blocks=1, unshuffle=2))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = build_optimizers(model, 5e-3).values()
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        y, x, noise = make_batch(rng, 8)
        model.zero_grad()
        level = draw_levels(len(y), rng)
        compute_losses(model, y, x, level, noise, LossConfig()).total.backward()
        for optimizer in optimizers:
            optimizer.step()
    return model.eval()


def make_batch(rng: np.random.Generator, count: int) -> tuple[torch.Tensor, ...]:
    """Blurred ones, sharp ones that differ by one colour each, noise; all (count, 3, 16, 16)."""
    y, noise = torch.from_numpy(rng.standard_normal((2, count, 3, 16, 16), np.float32))
    colour = torch.from_numpy(rng.standard_normal((count, 3, 1, 1), np.float32))
    return 0.3 * y, 0.3 * y + 0.5 * colour, noise


def sample(model: Model, table: Table) -> np.ndarray:
    """A residual (1, 3, 16, 16), sampled as a bundle's would be."""
    y = make_batch(np.random.default_rng(1), 1)[0].numpy()
    return sample_residual(
        table, y, TorchEngine(model).step, lambda number: normals(0, 0, number, 16, 16)[None]
    )


@pytest.mark.parametrize("steps", [1, 3, 7, 50, 500])
def test_a_model_trained_once_can_be_sampled_in_any_number_of_steps(
    trained: Model, steps: int
) -> None:
    sampler = SamplerConfig("ancestral", "log-snr", steps, cleanest=9.0, noisiest=-6.0)
    table = compile_table(sampler, trained.config.prediction)
    residual = sample(trained, table)
    assert np.isfinite(residual).all()
    # A chain that ran away, at whichever number of steps, would leave the range of pictures.
    assert 0.0 < np.abs(residual).max() < 4.0


def test_a_chain_that_is_told_one_level_throughout_ends_elsewhere(trained: Model) -> None:
    table = compile_table(SamplerConfig("ddim", "log-snr", 7), trained.config.prediction)
    rows = table.rows.copy()
    rows[:, COLUMNS.index("level")] = rows[0, COLUMNS.index("level")]
    told, deaf = (sample(trained, one) for one in (table, replace(table, rows=rows)))
    # Sums in another order would differ by a millionth.
    assert np.abs(told - deaf).max() > 1e-4 * np.abs(told).max()


def test_training_changes_how_levels_are_heard(trained: Model) -> None:
    torch.manual_seed(0)
    untrained = Model(trained.config).denoiser.embedding
    assert untrained is not None
    assert trained.denoiser.embedding is not None
    pairs = zip(untrained.parameters(), trained.denoiser.embedding.parameters(), strict=True)
    assert all((before - after).abs().max() > 1e-3 for before, after in pairs)
