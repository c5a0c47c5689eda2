from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from train.config import ModelConfig
from train.network import Model
from train.optimizer import ConvolutionMuon, build_optimizers, orthogonalise

LAST = torch.channels_last


def test_a_step_moves_the_convolutions_own_weight() -> None:
    convolution = nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
    before = convolution.weight.detach().clone()
    optimizer = ConvolutionMuon([convolution.weight], lr=0.1)
    convolution(torch.randn(1, 4, 8, 8)).square().mean().backward()
    optimizer.step()
    assert not torch.equal(convolution.weight, before)


def test_muon_lowers_a_loss() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
    optimizer = ConvolutionMuon([convolution.weight], lr=0.01)
    x = torch.randn(8, 4, 8, 8)
    losses = []
    for _ in range(20):
        loss = convolution(x).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


def test_every_trainable_parameter_has_exactly_one_optimizer() -> None:
    model = Model(ModelConfig(4, 4)).to(memory_format=torch.channels_last)
    model.denoiser.requires_grad_(False)
    counts = [
        sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"])
        for optimizer in build_optimizers(model, 1e-3).values()
    ]
    assert sum(counts) == sum(parameter.numel() for parameter in model.predictor.parameters())


# Convolutions of a network in small: two of each shape, one taller than wide, one of each alone.
SHAPES = [(8, 4, 3), (8, 4, 3), (16, 8, 1), (16, 8, 1), (8, 8, 3), (12, 8, 1)]


def make_weights() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [
        nn.Parameter(torch.randn(rows, depth, kernel, kernel).to(memory_format=LAST))
        for rows, depth, kernel in SHAPES
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.0},
        {"adjust_lr_fn": "original", "weight_decay": 0.1, "nesterov": False},
    ],
)
def test_matrices_made_orthogonal_together_go_where_torchs_muon_takes_them_alone(
    options: dict[str, Any],
) -> None:
    ours = make_weights()
    matrices = [
        nn.Parameter(weight.detach().permute(0, 2, 3, 1).flatten(1).clone()) for weight in ours
    ]
    together = ConvolutionMuon(ours, lr=0.02, **options)
    alone = torch.optim.Muon(matrices, lr=0.02, **options)
    start = [matrix.detach().clone() for matrix in matrices]
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        for weight, matrix in zip(ours, matrices, strict=True):
            gradient = torch.randn(weight.shape, generator=generator).to(memory_format=LAST)
            weight.grad = gradient
            matrix.grad = gradient.permute(0, 2, 3, 1).flatten(1).clone()
        together.step()
        alone.step()
    for weight, matrix, before in zip(ours, matrices, start, strict=True):
        moved = weight.detach().permute(0, 2, 3, 1).flatten(1) - before
        wanted = matrix.detach() - before
        # Both iterate in bfloat16, of three digits, and may sum up in another order.
        assert (moved - wanted).norm() < 0.02 * wanted.norm()
    momenta = [state["momentum_buffer"] for state in together.state.values()]
    wanted_momenta = [state["momentum_buffer"] for state in alone.state.values()]
    assert all(map(torch.equal, momenta, wanted_momenta))


@pytest.mark.parametrize("shape", [(3, 6, 40), (3, 40, 6), (1, 5, 5)])
def test_the_singular_values_of_an_orthogonalised_matrix_are_about_one(
    shape: tuple[int, int, int],
) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    coefficients = torch.optim.Muon([nn.Parameter(torch.zeros(2, 2))]).defaults["ns_coefficients"]
    values = torch.linalg.svdvals(orthogonalise(matrices, coefficients, 5, 1e-7).float())
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_a_weight_without_gradient_stays_as_it_is() -> None:
    moving, still = (nn.Parameter(torch.ones(4, 2, 1, 1)) for _ in range(2))
    optimizer = ConvolutionMuon([moving, still], lr=0.1)
    moving.grad = torch.ones_like(moving)
    optimizer.step()
    assert torch.equal(still, torch.ones_like(still))
    assert not torch.equal(moving, torch.ones_like(moving))
