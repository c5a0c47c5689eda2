"""Samplers compiled to tables of numbers.

Ancestral DDPM, DDIM and DPM-Solver++(2M) are all linear in the state, the network's output, the
last estimate of the residual, and fresh noise. So each becomes rows of numbers, made here once in
float64, stored in the bundle, and run by the same loop in every language:

    residual = from_z * z + from_output * network(y, z, level)
    z        = keep * z + take * residual + take_previous * previous_residual + noise * normals

The state starts at ``start * normals``. Notation: z = a r + s eps with a = sqrt(abar) and
s = sqrt(1 - abar), r the residual x - g(y).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.errors import OptionError
from runtime.schedules import linear_beta, log_snr, log_snr_spaced

Array = NDArray[np.float64]
Method = Literal["ancestral", "ddim", "dpm++2m"]
Schedule = Literal["linear", "log-snr"]
Start = Literal["noise", "guess"]
Prediction = Literal["eps", "x0", "v", "edm"]

# What the preconditioning of "edm" takes for the residual's standard deviation, in pictures that
# reach from -1 to 1: that of a photograph which a predictor has brought to 26 dB.
RESIDUAL_STD = 0.1

COLUMNS = ("level", "from_z", "from_output", "keep", "take", "take_previous", "noise")
MAX_STEPS = 500


class SamplerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to get from noise to a residual.

    ``schedule`` "linear" is the paper's (1 - alpha rises linearly to ``beta_end``); "log-snr"
    spaces levels evenly in log-SNR from ``noisiest`` up to ``cleanest``. ``start`` "noise" begins
    with pure noise; "guess" begins at the first level with the residual taken as zero, which is
    what the predictor's picture says. ``eta`` is DDIM's share of fresh noise, 0 to 1.
    """

    method: Method = "ancestral"
    schedule: Schedule = "linear"
    steps: int = 10
    beta_end: float = 0.5
    cleanest: float = 9.0
    noisiest: float = -4.0
    eta: float = 0.0
    start: Start = "noise"


def paper_sampler(steps: int, beta_end: float) -> SamplerConfig:
    """The paper's schedule, with fresh noise of the posterior's variance (Ho et al. 2020, eq. 7).

    That is DDIM with eta 1. With the variance beta, which Ho et al. allow as well, the last but one
    of ten steps adds noise of 0.24 that the last one, at beta 1e-6, cannot take away.
    """
    return SamplerConfig("ddim", "linear", steps, beta_end=beta_end, eta=1.0)


def guess_sampler(steps: int, noisiest: float, cleanest: float = 9.0) -> SamplerConfig:
    """From the predictor's guess, with fresh noise of the posterior's variance.

    Its levels are evenly spaced from log-SNR ``noisiest`` up to ``cleanest``.
    """
    return SamplerConfig(
        "ddim", "log-snr", steps, cleanest=cleanest, noisiest=noisiest, eta=1.0, start="guess"
    )


@dataclass(frozen=True)
class Table:
    """A compiled sampler: ``start`` and ``rows``, float64 (steps, 7) in the order of COLUMNS."""

    start: float
    rows: Array

    @property
    def steps(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> Array:
        """One column by its name, float64 (steps,)."""
        return self.rows[:, COLUMNS.index(name)]


def compile_table(config: SamplerConfig, prediction: Prediction) -> Table:
    """Compile ``config`` for a network that predicts ``prediction``.

    Raises OptionError for steps outside 0 to 500, eta outside 0 to 1, and schedules that cannot be.
    """
    if not 0 <= config.steps <= MAX_STEPS:
        raise OptionError(f"got {config.steps} steps; wanted are 0 to {MAX_STEPS}")
    if not 0.0 <= config.eta <= 1.0:
        raise OptionError(f"got eta {config.eta}; wanted is a number from 0 to 1")
    if config.steps == 0:
        return Table(0.0, np.empty((0, len(COLUMNS))))
    abar = _levels(config)[::-1]
    updates = {"ancestral": _ancestral, "ddim": _ddim, "dpm++2m": _dpm_solver}
    from_z, from_output = _residual_from(prediction, abar)
    keep, take, take_previous, noise = updates[config.method](abar, config)
    columns = (log_snr(abar), from_z, from_output, keep, take, take_previous, noise)
    start = 1.0 if config.start == "noise" else float(np.sqrt(1.0 - abar[0]))
    return Table(start, np.stack(columns, axis=1))


def with_steps(config: SamplerConfig, steps: int) -> SamplerConfig:
    """The same sampler with another number of steps.

    Raises OptionError where the linear schedule would keep over half of the residual's amplitude
    at its noisy end, so that starting from pure noise would be wrong.
    """
    changed = msgspec.structs.replace(config, steps=steps)
    if steps > 0 and config.schedule == "linear" and config.start == "noise":
        kept = float(np.sqrt(_levels(changed)[-1]))
        if kept > 0.5:
            raise OptionError(
                f"got {steps} steps on the paper's linear schedule, which would still hold "
                f"{kept:.0%} of the residual where it should be noise; take more steps or a "
                "preset with the log-snr schedule"
            )
    return changed


def _levels(config: SamplerConfig) -> Array:
    """``abar`` (steps,), clean to noisy."""
    if config.schedule == "linear":
        return linear_beta(config.steps, config.beta_end)
    return log_snr_spaced(config.steps, config.cleanest, config.noisiest)


def _residual_from(prediction: Prediction, abar: Array) -> tuple[Array, Array]:
    """Coefficients that turn state and network output into an estimate of the residual.

    eps: r = (z - s eps) / a. x0: r itself. v = a eps - s r: r = a z - s v
    (Salimans and Ho 2022, appendix D). edm: r = c_skip z / a + c_out F (Karras et al., "Elucidating
    the Design Space of Diffusion-Based Generative Models", 2022, equation 7 and table 1, where the
    noise of z / a has the standard deviation s / a).
    """
    a, s = np.sqrt(abar), np.sqrt(1.0 - abar)
    if prediction == "eps":
        return 1.0 / a, -s / a
    if prediction == "x0":
        return np.zeros_like(a), np.ones_like(a)
    if prediction == "edm":
        variance = s**2 + (RESIDUAL_STD * a) ** 2
        return RESIDUAL_STD**2 * a / variance, RESIDUAL_STD * s / np.sqrt(variance)
    return a, -s


def _next(abar: Array) -> Array:
    """The level each row steps to: the following one, and the clean residual at the end."""
    return np.append(abar[1:], 1.0)


def _ancestral(abar: Array, _: SamplerConfig) -> tuple[Array, Array, Array, Array]:
    """Ho et al. 2020, equation 7 and algorithm 2, with variance beta; no noise in the last step."""
    to = _next(abar)
    alpha = abar / to
    beta = 1.0 - alpha
    take = np.sqrt(to) * beta / (1.0 - abar)
    keep = np.sqrt(alpha) * (1.0 - to) / (1.0 - abar)
    noise = np.sqrt(beta)
    noise[-1] = 0.0
    return keep, take, np.zeros_like(abar), noise


def _ddim(abar: Array, config: SamplerConfig) -> tuple[Array, Array, Array, Array]:
    """Song et al., "Denoising Diffusion Implicit Models", 2021, equations 12 and 16."""
    to = _next(abar)
    sigma = config.eta * np.sqrt((1.0 - to) / (1.0 - abar) * (1.0 - abar / to))
    # eps = (z - a r) / s, carried over to the next level's amplitude less the fresh noise's.
    carried = np.sqrt(np.maximum(1.0 - to - sigma**2, 0.0)) / np.sqrt(1.0 - abar)
    return carried, np.sqrt(to) - carried * np.sqrt(abar), np.zeros_like(abar), sigma


def _dpm_solver(abar: Array, _: SamplerConfig) -> tuple[Array, Array, Array, Array]:
    """Lu et al., "DPM-Solver++", 2022, algorithm 2, second order multistep.

    First order at the first step, which has no past, and at the last, whose log-SNR is infinite.
    """
    half_log_snr = 0.5 * log_snr(abar)
    advance = np.append(np.diff(half_log_snr), np.inf)
    a, s = np.sqrt(_next(abar)), np.sqrt(1.0 - _next(abar))
    keep = s / np.sqrt(1.0 - abar)
    total = -a * np.expm1(-advance)
    extrapolation = np.zeros_like(abar)
    if len(abar) > 2:
        extrapolation[1:-1] = advance[1:-1] / (2.0 * advance[:-2])
    take = total * (1.0 + extrapolation)
    return keep, take, -total * extrapolation, np.zeros_like(abar)
