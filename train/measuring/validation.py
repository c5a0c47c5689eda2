"""PSNR during training: the same few crops, deblurred by the averaged weights each time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runtime.errors import OptionError
from runtime.loop import sample_residual
from runtime.samplers import compile_table, paper_sampler
from train.config import TrainConfig
from train.data.crops import CropDataset
from train.data.layouts import Pictures
from train.measuring.inference import TorchEngine
from train.network import Model, size_multiple_px

Floats = NDArray[np.float32]

_SEED = 20_220_301
_SAMPLER = paper_sampler(10, 0.5)
_GRID_ROWS = 4


@dataclass(frozen=True)
class Validated:
    """Mean PSNR in dB, and a grid (3, H, W) uint8: blurred, predicted, deblurred, sharp a row."""

    db: float
    grid: Tensor


class Validation:
    """A fixed batch of crops; blur for sharp-only pictures is made from a seed of its own.

    ``blurred_db`` is the crops' mean PSNR before anything is done to them.

    Raises DataError and ImageError for pictures that cannot be used, OptionError for a crop that
    the model cannot take.
    """

    def __init__(
        self, pictures: Pictures, config: TrainConfig, *, crops: int, crop_px: int
    ) -> None:
        multiple = size_multiple_px(config.model)
        if crop_px % multiple:
            raise OptionError(
                f"got validation crops of {crop_px} px; wanted is a multiple of {multiple}"
            )
        dataset = CropDataset(pictures, replace(config.data, crop_px=crop_px), crops, _SEED)
        pairs = [dataset[index] for index in range(crops)]
        self._y, self._x = (torch.stack(side) for side in zip(*pairs, strict=True))
        self._sampled = config.loss.denoise > 0
        self.blurred_db = _mean_psnr_db(self._y, self._x)

    @torch.no_grad()
    def measure(self, model: Model) -> Validated:
        """Deblur all crops with ``model``; with an untrained denoiser, the prediction counts."""
        guesses, deblurred = [], []
        device = next(model.parameters()).device
        for index in range(len(self._y)):
            y = (self._y[index : index + 1].float() / 127.5 - 1.0).to(device)
            guess = model.predict(y).float()
            residual = _sample(model, y, index) if self._sampled else torch.zeros_like(guess)
            guesses.append(_to_uint8(guess))
            deblurred.append(_to_uint8(guess + residual))
        restored = torch.cat(deblurred)
        columns = (self._y, torch.cat(guesses), restored, self._x)
        grid = _to_grid([column[:_GRID_ROWS] for column in columns])
        return Validated(_mean_psnr_db(restored, self._x), grid)


def _mean_psnr_db(images: Tensor, sharp: Tensor) -> float:
    """Of uint8 (N, 3, H, W) each: the mean over N of the PSNR in dB."""
    error = (images.double() - sharp.double()).square().mean((1, 2, 3))
    # An exact copy would have infinite PSNR; half a grey level in one value is beyond reach.
    return float((10.0 * torch.log10(255.0**2 / error.clamp_min(1e-6))).mean())


def _sample(model: Model, blurred: Tensor, index: int) -> Tensor:
    """One sampled residual (1, 3, H, W), by the loop and the tables of the runtime."""

    def noise(number: int) -> Floats:
        rng = np.random.default_rng((_SEED, index, number))
        return rng.standard_normal(tuple(blurred.shape), dtype=np.float32)

    table = compile_table(_SAMPLER, model.config.prediction)
    residual = sample_residual(table, blurred.cpu().numpy(), TorchEngine(model).step, noise)
    return torch.from_numpy(residual).to(blurred.device)


def _to_uint8(x: Tensor) -> Tensor:
    return ((x + 1.0) * 127.5).round().clamp(0.0, 255.0).to(torch.uint8).cpu()


def _to_grid(columns: list[Tensor]) -> Tensor:
    rows = [torch.cat(list(row), dim=2) for row in zip(*columns, strict=True)]
    return torch.cat(rows, dim=1)
