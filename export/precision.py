"""The network in another precision than it was trained in, typed through and through.

Precision lives in the graph: engines are strongly typed, and no flag of a builder changes it.
Inputs, outputs, the level embedding and the sampler's update stay in float32; the two U-Nets
compute in the lower precision.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from train.network import Model, UNet

_TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class TypedNetwork(nn.Module):
    """A U-Net that computes in ``dtype`` and takes and returns float32."""

    def __init__(self, network: UNet, dtype: torch.dtype) -> None:
        super().__init__()
        embedding, network.embedding = network.embedding, None
        self.network = network.to(dtype)
        self.dtype = dtype
        if embedding is not None:
            # Its sines of angles up to hundreds of radians need float32: half has three digits.
            network.embedding = cast("nn.Module", TypedEmbedding(embedding, dtype))  # type: ignore[assignment]

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        output: Tensor = self.network(x.to(self.dtype), level)
        return output.float()


class TypedEmbedding(nn.Module):
    """A level embedding in float32 whose features are handed on in ``dtype``."""

    def __init__(self, embedding: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.embedding = embedding
        self.dtype = dtype

    def forward(self, level: Tensor) -> Tensor:
        features: Tensor = self.embedding(level)
        return features.to(self.dtype)


def in_precision(model: Model, precision: str) -> Model:
    """A copy of ``model`` whose U-Nets compute in ``precision``, a name as in the manifest.

    For int8 that is float32: a graph is quantised after it was traced.
    """
    if precision not in _TYPES:
        return model
    typed = copy.deepcopy(model)
    for name in ("predictor", "denoiser"):
        setattr(typed, name, TypedNetwork(getattr(typed, name), _TYPES[precision]))
    return typed.eval()
