"""What each layer costs when it alone is quantised, simulated in torch without building graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from export.graphs import PredictorGraph, StepGraph
from export.quantize import Inputs
from train.network import Model

_LEVELS = 127
_RANGE = 2.0  # of the model's pictures


class LayerCost(msgspec.Struct, frozen=True):
    """PSNR of a graph's last output with only this layer in int8, over the model's range."""

    graph: str
    layer: str
    psnr_db: float


@torch.inference_mode()
def layer_costs(
    model: Model,
    graph: str,
    scales: Mapping[str, tuple[float, float]],
    inputs: Sequence[Inputs],
    advance: Callable[[], object] = lambda: None,
) -> list[LayerCost]:
    """The cost of each layer named in ``scales`` (steps of its input and output) on ``inputs``."""
    module = (PredictorGraph(model) if graph == "predictor" else StepGraph(model)).eval()
    layers = dict(module.named_modules())
    tensors = [[torch.from_numpy(value) for value in given.values()] for given in inputs]
    wanted = [_last(module(*given)) for given in tensors]
    costs = []
    for name, (step_in, step_out) in scales.items():
        layer = layers[name]
        assert isinstance(layer, nn.Conv2d)
        with _quantised(layer, step_in, step_out):
            apart = [
                float(((_last(module(*given)) - full) ** 2).mean())
                for given, full in zip(tensors, wanted, strict=True)
            ]
        error = max(float(np.mean(apart)), 1e-12)
        costs.append(LayerCost(graph, name, 10.0 * float(np.log10(_RANGE**2 / error))))
        advance()
    return costs


def _last(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    return outputs if isinstance(outputs, Tensor) else outputs[-1]


@contextmanager
def _quantised(layer: nn.Conv2d, step_in: float, step_out: float) -> Iterator[None]:
    """Round what ``layer`` reads, its weights and what it writes to int8, while inside."""
    weight = layer.weight.data
    steps = weight.abs().amax(dim=(1, 2, 3)).clamp(min=1e-8) / _LEVELS
    shaped = steps[:, None, None, None]
    layer.weight.data = (weight / shaped).round().clamp(-_LEVELS, _LEVELS) * shaped
    before = layer.register_forward_pre_hook(lambda _, given: (_rounded(given[0], step_in),))
    after = layer.register_forward_hook(lambda _, __, output: _rounded(output, step_out))
    try:
        yield
    finally:
        before.remove()
        after.remove()
        layer.weight.data = weight


def _rounded(x: Tensor, step: float) -> Tensor:
    return (x / step).round().clamp(-_LEVELS, _LEVELS) * step
