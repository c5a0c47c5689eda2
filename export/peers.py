"""The network itself as PyTorch users would run it: what the benchmark compares engines with.

``python -m runtime.bench --peers torch-eager ... --checkpoint FILE`` imports this module by its
name, and only then: the benchmark belongs to ``runtime`` and may not know the network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from export.graphs import StepGraph
from export.precision import TypedNetwork
from runtime.bundle import Bundle
from runtime.errors import OptionError
from runtime.samplers import Table
from train.checkpoint import load_model
from train.network import Model

Image = NDArray[np.uint8]
Noise = Callable[[int, int], NDArray[np.float32]]
Predict = Callable[[Tensor], Tensor]


def open_peer(name: str, bundle: Bundle, checkpoint: Path | None) -> TorchPeer:
    """One of torch-eager, torch-bf16 (channels-last) and torch-compile, on the GPU if there is one.

    Raises OptionError without a checkpoint and for one of another size rule, CheckpointError where
    it cannot be read. Whether its weights are the bundle's is seen by the picture, which the
    benchmark compares.
    """
    if checkpoint is None:
        raise OptionError(
            f"the peer {name} runs the network itself; name the checkpoint that bundle "
            f"'{bundle.manifest.name}' was exported from with --checkpoint"
        )
    model, _ = load_model(checkpoint)
    if model.size_multiple_px != bundle.manifest.size_multiple_px:
        raise OptionError(
            f"{checkpoint} is a network for sizes of {model.size_multiple_px} px, bundle "
            f"'{bundle.manifest.name}' one for {bundle.manifest.size_multiple_px} px; name the "
            "checkpoint that the bundle was exported from"
        )
    return TorchPeer(name, model, torch.device("cuda" if torch.cuda.is_available() else "cpu"))


class TorchPeer:
    """A plain loop over predictor and step, all on one device, in inference mode."""

    def __init__(self, name: str, model: Model, device: torch.device) -> None:
        self._multiple = model.size_multiple_px
        self._device = device
        if name == "torch-bf16":
            model = _in_bfloat16(model)
        model = model.to(device).eval()
        self._predict: Predict = model.predict
        self._step: Callable[..., tuple[Tensor, Tensor]] = StepGraph(model).eval()
        said = {"torch-eager": "eager, float32", "torch-bf16": "eager, bfloat16, channels last"}
        if name == "torch-compile":
            # CUDA graphs come with the mode; on a CPU it tunes nothing but the products.
            mode = "max-autotune" if device.type == "cuda" else "default"
            self._predict = torch.compile(model.predict, mode=mode)
            self._step = torch.compile(self._step, mode=mode)
            said[name] = f"torch.compile, mode {mode}, float32"
        self.name = f"PyTorch {torch.__version__} {said[name]}, {device.type}"

    @torch.inference_mode()
    def deblur(self, images: Image, table: Table, samples: int, noise: Noise | None) -> Image:
        """See :class:`runtime.bench.subjects.Peer`."""
        height, width = images.shape[1:3]
        pixels = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float()
        bottom, right = -height % self._multiple, -width % self._multiple
        y = functional.pad(pixels / 127.5 - 1.0, (0, right, 0, bottom), mode="reflect")
        result = self._predict(y).clone()
        if table.steps:
            drawn = [self._sample(y, table, sample, noise) for sample in range(samples)]
            result = result + torch.stack(drawn).mean(dim=0)
        grey = ((result + 1.0) * 127.5).round().clamp(0.0, 255.0).to(torch.uint8)
        return cast("Image", grey.permute(0, 2, 3, 1)[:, :height, :width].cpu().numpy())

    def close(self) -> None:
        """The weights end with this object."""

    def _sample(self, y: Tensor, table: Table, sample: int, noise: Noise | None) -> Tensor:
        def field(step: int) -> Tensor:
            if noise is None:
                return torch.randn_like(y)
            drawn = torch.from_numpy(noise(sample, step)).to(self._device)
            return drawn[None].expand_as(y).contiguous()

        z, previous = float(table.start) * field(0), torch.zeros_like(y)
        rows = torch.from_numpy(table.rows.astype(np.float32)).to(self._device)
        for index, row in enumerate(rows):
            z, previous = (t.clone() for t in self._step(z, y, field(index + 1), previous, row))
        return z


def _in_bfloat16(model: Model) -> Model:
    """A copy whose two networks compute in bfloat16 with channels last, as CPUs and GPUs like it.

    The embedding of the level and the sampler's update stay in float32, as in an exported graph.
    """
    typed = copy.deepcopy(model)
    for name in ("predictor", "denoiser"):
        network = getattr(typed, name)
        if network is not None:
            in_half = TypedNetwork(network, torch.bfloat16)
            for parameter in in_half.parameters():
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
            setattr(typed, name, in_half)
    return typed
