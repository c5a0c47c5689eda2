"""The network itself as an engine, and layer by layer: what everything else is held against."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.graphs import PredictorGraph, StepGraph
from train.network import Model

Floats = NDArray[np.float32]


class TorchEngine:
    """The network behind the engine protocol, in float32 on the CPU."""

    name = "torch"

    def __init__(self, model: Model) -> None:
        self._predictor = PredictorGraph(model).eval()
        self._step = StepGraph(model).eval()

    @torch.inference_mode()
    def predict(self, y: Floats) -> Floats:
        result: Floats = self._predictor(torch.from_numpy(y)).numpy()
        return result

    @torch.inference_mode()
    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        inputs = (torch.from_numpy(value) for value in (z, y, noise, previous, row))
        z_next, residual = self._step(*inputs)
        return z_next.numpy(), residual.numpy()

    def layers(self, graph: str, inputs: dict[str, Floats]) -> dict[str, Floats]:
        """The output of every convolution of ``graph`` ("predictor" or "step"), in running order.

        Names are those of :func:`export.layers.layer_names`.
        """
        module = {"predictor": self._predictor, "step": self._step}[graph]
        with torch.inference_mode(), _recorded(module) as outputs:
            module(*(torch.from_numpy(value) for value in inputs.values()))
        return outputs


@contextmanager
def _recorded(module: nn.Module) -> Iterator[dict[str, Floats]]:
    """The outputs of the convolutions that run inside, by module name and occurrence."""
    outputs: dict[str, Floats] = {}

    def listen(name: str, layer: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def take(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
            count = sum(known.partition("#")[0] == name for known in outputs)
            outputs[f"{name}#{count + 1}" if count else name] = output.numpy()

        return layer.register_forward_hook(take)

    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    handles = [listen(n, layer) for n, layer in module.named_modules() if isinstance(layer, kinds)]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
