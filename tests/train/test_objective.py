from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from runtime.samplers import RESIDUAL_STD, Prediction, SamplerConfig, compile_table
from train.config import LossConfig, ModelConfig
from train.network import Model
from train.objective import amplitudes, compute_losses, draw_levels, target


def test_levels_cover_the_schedule_and_differ_within_a_batch() -> None:
    levels = draw_levels(20_000, np.random.default_rng(0))
    assert levels.min() == pytest.approx(-10.0, abs=0.2)
    assert 8.0 < levels.max() < 25.0
    assert len(levels.unique()) > 19_000


def test_three_of_four_mixed_levels_lie_about_the_residuals_size() -> None:
    levels = draw_levels(20_000, np.random.default_rng(0), "mixed")
    # Karras et al. 2022: noise of 0.3 and its factor exp(1.2), for data of 0.5; the level is twice
    # the negative logarithm of the noise.
    about = levels[torch.arange(len(levels)) % 4 > 0]
    assert float(about.mean()) == pytest.approx(2.4 + 2 * np.log(5.0), abs=0.1)
    assert float(about.std()) == pytest.approx(2.4, abs=0.1)
    assert float(levels[0::4].median()) < -2.0


def test_amplitudes_are_those_of_a_unit_variance() -> None:
    signal, spread = amplitudes(torch.tensor([-10.0, 0.0, 13.8]))
    assert (signal**2 + spread**2).ravel().tolist() == pytest.approx([1.0, 1.0, 1.0])


@pytest.mark.parametrize("prediction", get_args(Prediction))
def test_the_sampler_undoes_what_the_objective_asks_for(prediction: Prediction) -> None:
    """What training calls the target must be what the runtime's tables turn into the residual."""
    table = compile_table(SamplerConfig(steps=10), prediction)
    level = torch.tensor(table.column("level"), dtype=torch.float64)
    residual, noise = torch.randn(2, 10, 3, 4, 4, dtype=torch.float64)
    signal, spread = amplitudes(level)
    z = signal * residual + spread * noise
    output = target(prediction, residual, noise, level)
    from_z, from_output = (
        torch.tensor(table.column(name))[:, None, None, None] for name in ("from_z", "from_output")
    )
    assert torch.allclose(from_z * z + from_output * output, residual, atol=1e-9)


@pytest.mark.parametrize("level", [-10.0, 0.0, 4.6, 13.0])
def test_the_preconditioned_target_has_unit_variance_at_every_level(level: float) -> None:
    generator = torch.Generator().manual_seed(0)
    residual, noise = torch.randn(2, 1, 3, 200, 200, generator=generator, dtype=torch.float64)
    wanted = target("edm", RESIDUAL_STD * residual, noise, torch.tensor([level]).double())
    assert float(wanted.std()) == pytest.approx(1.0, abs=0.02)


def losses_of(config: LossConfig) -> tuple[Model, object]:
    torch.manual_seed(0)
    model = Model(ModelConfig(4, 4, prediction="eps"))
    torch.nn.init.normal_(model.denoiser.head.weight, std=0.1)
    x, y = torch.rand(2, 2, 3, 16, 16)
    losses = compute_losses(model, y, x, torch.tensor([0.0, 2.0]), torch.randn_like(x), config)
    losses.total.backward()
    return model, losses


def test_the_papers_loss_reaches_the_predictor_through_the_residual() -> None:
    model, _ = losses_of(LossConfig(denoise=1.0, pixel=0.0, denoise_norm="l1"))
    gradient = model.predictor.head.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0.0


def test_the_predictor_recipe_leaves_the_denoiser_alone() -> None:
    model, losses = losses_of(LossConfig(denoise=0.0, pixel=1.0))
    assert all(parameter.grad is None for parameter in model.denoiser.parameters())
    assert losses.denoise is None  # type: ignore[attr-defined]


def test_the_pixel_loss_is_the_mean_squared_error_of_the_guess() -> None:
    model = Model(ModelConfig(4, 4))
    x, y = torch.rand(2, 1, 3, 16, 16)
    losses = compute_losses(model, y, x, torch.zeros(1), x, LossConfig(denoise=0.0))
    assert losses.total.item() == pytest.approx(((y - x) ** 2).mean().item())
