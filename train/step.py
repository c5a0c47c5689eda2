"""One training step: the gradients of a batch, cut into parts, then optimizers and average."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from train.config import LossConfig, TrainConfig
from train.data.batches import Parts
from train.device import AnyFabric
from train.network import PICTURE_CHANNELS, Model
from train.objective import compute_losses, draw_levels, draw_noise


class Objective(nn.Module):
    """The losses as one module, so that an engine for many devices sees one forward pass."""

    def __init__(self, model: Model, config: LossConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config

    def forward(self, y: Tensor, x: Tensor, level: Tensor, noise: Tensor) -> dict[str, Tensor]:
        losses = compute_losses(self.model, y, x, level, noise, self.config)
        terms = {"loss": losses.total, "denoise": losses.denoise, "pixel": losses.pixel}
        return {name: term for name, term in terms.items() if term is not None}


def learn(
    fabric: AnyFabric, objective: Any, config: TrainConfig, step: int, parts: Parts
) -> dict[str, Tensor]:
    """Gradients of this process's share of the batch of ``step``, and its losses by name.

    ``parts`` are (blurred, sharp), each uint8 (N, 3, crop, crop), to go through the networks one
    after another.
    """
    level, noise = _draws(config, step, fabric)
    losses: dict[str, Tensor] = {}
    for index, (blurred, sharp) in enumerate(parts):
        y, x = _to_model(blurred), _to_model(sharp)
        mine = slice(index * len(x), (index + 1) * len(x))
        with fabric.no_backward_sync(objective, enabled=index + 1 < len(parts)):
            terms = objective(y, x, level[mine], noise[mine])
            fabric.backward(terms["loss"] / len(parts))
        for name, term in terms.items():
            losses[name] = losses.get(name, torch.zeros_like(term)) + term.detach() / len(parts)
    return losses


def update(
    model: Model,
    average: AveragedModel,
    optimizers: Iterable[torch.optim.Optimizer],
    *,
    learning_rate: float,
    clip_norm: float,
) -> float:
    """Move the weights along their gradients, which are used up; returns the gradients' norm.

    Where that is not finite, weights and average stay as they are.
    """
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm))
    finite = math.isfinite(norm)
    for optimizer in optimizers:
        if finite:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()
        optimizer.zero_grad()
    if finite:
        average.update_parameters(model)
    return norm


def _to_model(batch: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) to float32 in [-1, 1], channels last."""
    return (batch.float() / 127.5 - 1.0).contiguous(memory_format=torch.channels_last)


def _draws(config: TrainConfig, step: int, fabric: AnyFabric) -> tuple[Tensor, Tensor]:
    """Of this process: levels (N,) and noise (N, 3, crop, crop), cut from those of the whole batch.

    They are functions of (seed, step) and nothing else, however many processes share the work.
    """
    rng = np.random.default_rng((config.seed, step, 1))
    # Without a denoiser to train nobody asks for noise.
    side = config.data.crop_px if config.loss.denoise > 0 else 0
    level = draw_levels(config.batch, rng, config.loss.levels)
    noise = draw_noise((config.batch, PICTURE_CHANNELS, side, side), rng, fabric.device)
    share = config.batch // fabric.world_size
    mine = slice(fabric.global_rank * share, (fabric.global_rank + 1) * share)
    return (
        level[mine].to(fabric.device),
        noise[mine].contiguous(memory_format=torch.channels_last),
    )
