"""The network in another precision than it was trained in, typed through and through.

Precision lives in the graph: engines are strongly typed, and no flag of a builder changes it.
Inputs, outputs, the level embedding and the sampler's update stay in float32; the two U-Nets
compute in the lower precision.

Half ends at 65504, and activations of a trained U-Net, which nothing normalises, may go beyond it.
There, they are a fixed part of what they were, which changes nothing else: convolutions, sums,
pooling and enlarging are linear, and x * sigmoid(x) of a part is found by giving the sigmoid the
whole.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from export.parity import picture
from runtime.images import to_model
from train.network import Model, ResidualBlock, UNet

_TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
# A power of two, so that it rounds nothing; the shipped predictor's largest activation, 1.1e6 on
# photographs, becomes 7 % of what half holds, and half still resolves 1.5e-5 of the whole.
HALF_SHRINKS = 256.0
# Activations of the made-up picture above this share of half's range have to shrink: those of
# photographs were up to 14 times as large (the shipped predictor's, 8.0e4 and 1.1e6).
_ROOM = 1.0 / 64.0
_PICTURE_PX = 64
_LEVELS = (-9.0, 0.0, 9.0)


class TypedNetwork(nn.Module):
    """A network that computes in ``dtype`` and takes and returns float32.

    Activations of a U-Net are ``shrinks`` times smaller than they were.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype, shrinks: float = 1.0) -> None:
        super().__init__()
        self.shrinks = shrinks
        self.dtype = dtype
        self.network = network
        if not isinstance(network, UNet):
            network.to(dtype)
            return
        _shrink(network, shrinks)
        embedding, network.embedding = network.embedding, None
        network.to(dtype)
        if embedding is not None:
            # Its sines of angles up to hundreds of radians need float32: half has three digits.
            network.embedding = cast("nn.Module", TypedEmbedding(embedding, dtype))  # type: ignore[assignment]

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        given = (x.to(self.dtype),) if level is None else (x.to(self.dtype), level)
        with _Shrunk(self.dtype, self.shrinks):
            output: Tensor = self.network(*given)
        return output.float()


@torch.no_grad()
def _shrink(network: UNet, divisor: float) -> None:
    """Divide what the stem and each bias bring in, and give the head back what it lacks."""
    network.stem.weight.div_(divisor)
    network.head.weight.mul_(divisor)
    for block in network.modules():
        if isinstance(block, ResidualBlock) and block.level is not None:
            block.level.weight.div_(divisor)
            block.level.bias.div_(divisor)
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d) and name != "head" and layer.bias is not None:
            layer.bias.div_(divisor)


class _Shrunk(TorchFunctionMode):
    """While inside, SiLU of a tensor of ``dtype`` takes it for 1 / ``divisor`` of its value."""

    def __init__(self, dtype: torch.dtype, divisor: float) -> None:
        super().__init__()
        self._dtype = dtype
        self._divisor = divisor

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is functional.silu and self._divisor != 1.0 and args[0].dtype == self._dtype:
            return args[0] * torch.sigmoid(self._divisor * args[0])
        return func(*args, **(kwargs or {}))


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
    typed, dtype = copy.deepcopy(model), _TYPES[precision]
    for name in ("predictor", "denoiser"):
        network = getattr(typed, name)
        if network is not None:
            has_room = largest_activation(model, name) <= _ROOM * torch.finfo(dtype).max
            shrinks = 1.0 if has_room or not isinstance(network, UNet) else HALF_SHRINKS
            setattr(typed, name, TypedNetwork(network, dtype, shrinks))
    return typed.eval()


@torch.inference_mode()
def largest_activation(model: Model, name: str) -> float:
    """The largest magnitude inside the network ``name`` of ``model`` for a made-up picture."""
    largest = [0.0]

    def note(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        largest.append(float(output.abs().max()))

    y = torch.from_numpy(to_model(picture(_PICTURE_PX, _PICTURE_PX)))
    handles = [part.register_forward_hook(note) for part in getattr(model, name).modules()]
    try:
        if name == "predictor":
            model.predict(y)
        else:
            for level in _LEVELS:
                model.denoise(y, y.flip(3), torch.tensor([level]))
    finally:
        for handle in handles:
            handle.remove()
    return max(largest)
