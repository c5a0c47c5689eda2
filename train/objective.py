"""The paper's training objective, and what a prediction says about residual and noise.

Whang et al. 2022, section 3: the residual r = x - g(y) is noised to
z = sqrt(abar) r + sqrt(1 - abar) eps, f predicts from (y, z, level), and the gradient flows
through r into g.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from runtime.samplers import RESIDUAL_STD
from runtime.schedules import TRAINING_BETA_END, TRAINING_STEPS, linear_beta, log_snr
from train.config import Levels, LossConfig
from train.network import Model

# Karras et al. draw the logarithm of the noise about -1.2, for data of standard deviation 0.5.
_LOG_NOISE_MEAN = -1.2 + math.log(RESIDUAL_STD / 0.5)
_LOG_NOISE_SPREAD = 1.2


@dataclass(frozen=True)
class Losses:
    """Scalars of one step: ``total`` is what is minimised; a term left out is None."""

    total: Tensor
    denoise: Tensor | None
    pixel: Tensor | None


def draw_levels(count: int, rng: np.random.Generator, levels: Levels = "wavegrad") -> Tensor:
    """Continuous levels (count,) in log-SNR, float32, one for each sample of a batch.

    "wavegrad": a bin of the T = 2000 schedule is drawn, then sqrt(abar) uniformly inside it
    (Chen et al., "WaveGrad", 2021, section 3.2). "mixed": three of four levels are drawn where
    there is most to learn instead, the noise log-normal about the residual's size (Karras et al.
    2022, table 1).
    """
    edges = np.sqrt(np.concatenate([[1.0], linear_beta(TRAINING_STEPS, TRAINING_BETA_END)]))
    which = rng.integers(TRAINING_STEPS, size=count)
    # The interval is open towards 1, where the log-SNR is infinite.
    signal = edges[which + 1] + (edges[which] - edges[which + 1]) * rng.uniform(0, 0.999, count)
    drawn = log_snr(signal**2)
    if levels == "mixed":
        others = np.arange(count) % 4 > 0
        log_noise = _LOG_NOISE_MEAN + _LOG_NOISE_SPREAD * rng.standard_normal(others.sum())
        drawn[others] = -2.0 * log_noise
    return torch.from_numpy(drawn).float()


def draw_noise(shape: tuple[int, ...], rng: np.random.Generator, device: torch.device) -> Tensor:
    """Standard normals of ``shape``, float32 on ``device``, a function of the state of ``rng``.

    A GPU draws its own, others than the CPU's: numpy makes about 2000 crops' worth a second, fewer
    than a small network takes.
    """
    if device.type == "cpu":
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))
    return torch.randn(shape, generator=generator, device=device)


def target(prediction: str, residual: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """What f should return: the noise, the residual, or v = sqrt(abar) eps - sqrt(1 - abar) r.

    For "edm" it is what the preconditioning of Karras et al. 2022, equation 8, leaves to f: noise
    and residual in shares that make it of unit variance, so that every level counts alike.
    ``residual`` and ``noise`` are (N, 3, H, W), ``level`` is (N,).
    """
    if prediction == "eps":
        return noise
    if prediction == "x0":
        return residual
    signal, spread = amplitudes(level)
    if prediction == "edm":
        variance = spread**2 + (RESIDUAL_STD * signal) ** 2
        mixed = spread / RESIDUAL_STD * residual - RESIDUAL_STD * signal * noise
        return mixed / variance.sqrt()
    return signal * noise - spread * residual


def amplitudes(level: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(abar) and sqrt(1 - abar), each (N, 1, 1, 1), of levels (N,) in log-SNR."""
    level = level[:, None, None, None]
    return torch.sigmoid(level).sqrt(), torch.sigmoid(-level).sqrt()


def compute_losses(
    model: Model, y: Tensor, x: Tensor, level: Tensor, noise: Tensor, config: LossConfig
) -> Losses:
    """Losses of one batch: blurred ``y`` and sharp ``x`` (N, 3, H, W) in [-1, 1], ``level`` (N,).

    ``noise`` is standard normal, of the shape of ``x``.
    """
    guess = model.predict(y).float()
    # Squared: sharp edges then outweigh the sensor noise of flat regions, which no guess can
    # predict; measured on the validation pairs, an equal number of crops gains several times more.
    pixel = functional.mse_loss(guess, x) if config.pixel > 0 else None
    denoise = None
    if config.denoise > 0:
        residual = x - guess
        signal, spread = amplitudes(level)
        z = signal * residual + spread * noise
        wanted = target(model.config.prediction, residual, noise, level)
        distance = functional.l1_loss if config.denoise_norm == "l1" else functional.mse_loss
        denoise = distance(model.denoise(y, z, level).float(), wanted)
    terms = [(config.pixel, pixel), (config.denoise, denoise)]
    total = sum((weight * term for weight, term in terms if term is not None), y.new_zeros(()))
    return Losses(total, denoise, pixel)
