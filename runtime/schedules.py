"""Noise schedules as plain arrays.

``abar`` is the share of signal variance left at a step, strictly between 0 and 1 and falling:
z = sqrt(abar) r + sqrt(1 - abar) eps (Ho et al., "Denoising Diffusion Probabilistic Models", 2020,
equation 4). A ``level`` is its log-SNR, log(abar / (1 - abar)), which is what the denoiser sees.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.errors import OptionError

Array = NDArray[np.float64]

# The levels the denoiser is trained on: T = 2000, linear beta from 1e-6 to 1e-2
# (Whang et al. 2022, appendix; Chen et al., "WaveGrad", 2021, for the continuous levels).
TRAINING_STEPS = 2000
TRAINING_BETA_END = 1e-2
BETA_START = 1e-6


def linear_beta(steps: int, end: float) -> Array:
    """``abar`` (steps,) for 1 - alpha rising linearly from 1e-6 to ``end`` (the paper's grid)."""
    if steps < 1 or not BETA_START <= end < 1.0:
        raise OptionError(
            f"got {steps} steps ending at beta {end}; wanted are at least 1 step and an end "
            f"from {BETA_START} to below 1"
        )
    # A single step takes the end value: it must carry the picture all the way to noise.
    beta = np.linspace(BETA_START, end, steps) if steps > 1 else np.array([end])
    return np.cumprod(1.0 - beta, dtype=np.float64)


def log_snr_spaced(steps: int, first: float, last: float) -> Array:
    """``abar`` (steps,) with log-SNR evenly spaced from ``first`` (clean) down to ``last``.

    A single step stands at ``last``.
    """
    if steps < 1 or first < last:
        raise OptionError(
            f"got {steps} steps from level {first} to {last}; wanted are at least 1 step and "
            "falling levels"
        )
    return abar_of(np.linspace(first, last, steps) if steps > 1 else np.array([last]))


def log_snr(abar: ArrayLike) -> Array:
    """Levels of ``abar``, same shape: log(abar / (1 - abar))."""
    abar = np.asarray(abar, dtype=np.float64)
    return np.log(abar) - np.log1p(-abar)


def abar_of(level: ArrayLike) -> Array:
    """The inverse of :func:`log_snr`: the logistic function."""
    return 1.0 / (1.0 + np.exp(-np.asarray(level, dtype=np.float64)))
