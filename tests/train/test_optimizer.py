from __future__ import annotations

import torch
from torch import nn

from train.config import ModelConfig
from train.network import Model
from train.optimizer import ConvolutionMuon, build_optimizers


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
