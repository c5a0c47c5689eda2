"""Thin networks of random weights, and pictures for them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.config import ModelConfig
from train.network import Model


def build(config: ModelConfig) -> Model:
    """The same weights each time; the predictor, whose head starts at zero, corrects something."""
    torch.manual_seed(0)
    model = Model(config).eval()
    assert model.predictor is not None
    nn.init.normal_(model.predictor.head.weight, std=0.05)
    return model


def picture(height_px: int, width_px: int, seed: int = 1) -> Tensor:
    """Uniform noise (1, 3, height_px, width_px) in [-1, 1]."""
    drawn = torch.rand(1, 3, height_px, width_px, generator=torch.Generator().manual_seed(seed))
    return 2 * drawn - 1
