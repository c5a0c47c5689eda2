"""Scores of single pictures, and their means by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.errors import OptionError

Floats = NDArray[np.float64]


class Setting(msgspec.Struct, frozen=True):
    """Steps and samples to evaluate at."""

    steps: int
    samples: int


class Spread(msgspec.Struct, frozen=True):
    """How well the samples' standard deviation tells the error, in grey levels.

    ``std`` is its mean, ``error`` the mean absolute error of the averaged picture. ``ratio`` is the
    error (root mean square) that the spread predicts, over the error there is: 1 is calibrated,
    below 1 is too sure of itself. ``correlation`` is Pearson's, of the two over the pixels.
    """

    std: float
    error: float
    ratio: float
    correlation: float


class Row(msgspec.Struct, frozen=True):
    """One picture at one setting: PSNR in dB, and other metrics by name.

    ``metrics`` are the output's, ``input_metrics`` the input's, ``sharp_metrics`` the original's.
    """

    group: str
    picture: str
    setting: Setting
    blurred: float
    deblurred: float
    sharp_kept: float | None = None
    metrics: dict[str, float] = {}
    input_metrics: dict[str, float] = {}
    sharp_metrics: dict[str, float] = {}
    spread: Spread | None = None


class Score(msgspec.Struct, frozen=True):
    """Means over one group of ``pictures`` at one setting; PSNR in dB.

    ``blurred`` is the input's PSNR, ``deblurred`` the output's. ``sharp_kept`` and
    ``sharp_kept_min`` compare sharp pictures with what deblurring makes of them; None where not
    asked for. ``metrics`` are the output's other metrics, ``input_metrics`` the input's, and
    ``sharp_metrics`` those of the originals, which is what a metric without a reference aims at.
    """

    group: str
    steps: int
    samples: int
    pictures: int
    blurred: float
    deblurred: float
    gain: float
    sharp_kept: float | None = None
    sharp_kept_min: float | None = None
    metrics: dict[str, float] = {}
    input_metrics: dict[str, float] = {}
    sharp_metrics: dict[str, float] = {}
    spread: Spread | None = None


def parse_setting(text: str) -> Setting:
    """``10x4`` to 10 steps, 4 samples; raises OptionError."""
    steps, cross, samples = text.partition("x")
    if not (cross and steps.isdecimal() and samples.isdecimal()):
        raise OptionError(f"got setting '{text}'; wanted is STEPSxSAMPLES, such as 10x4")
    return Setting(int(steps), int(samples))


def measure_spread(std: NDArray[np.float32], error: NDArray[np.float32], samples: int) -> Spread:
    """Compare ``std`` of the samples with the ``error`` of their mean, both (H, W, 3) in grey.

    Were the truth drawn like a sample, the squared error of a mean of n would be the variance times
    1 + 1/n; the variance of n samples is too small by (n - 1) / n.
    """
    variance, squared = np.square(std, dtype=np.float64), np.square(error, dtype=np.float64)
    predicted = float(variance.mean()) * (samples + 1) / (samples - 1)
    flat = (std.ravel().astype(np.float64), np.abs(error.ravel().astype(np.float64)))
    varies = all(float(side.std()) > 0.0 for side in flat)
    return Spread(
        std=float(std.mean()),
        error=float(np.abs(error).mean()),
        ratio=float(np.sqrt(predicted / max(float(squared.mean()), 1e-12))),
        correlation=float(np.corrcoef(*flat)[0, 1]) if varies else 0.0,
    )


def summarise(
    rows: Sequence[Row], sets: Mapping[Setting, Mapping[str, float]] | None = None
) -> tuple[Score, ...]:
    """Means of every group at every setting, then of all pictures together ("all").

    ``sets`` are metrics of all pictures of a setting, which have no value for one picture.
    """
    groups = [*dict.fromkeys(row.group for row in rows), "all"]
    settings = dict.fromkeys(row.setting for row in rows)
    return tuple(
        _score(
            group,
            setting,
            [row for row in rows if row.setting == setting and group in (row.group, "all")],
            (sets or {}).get(setting, {}) if group == "all" else {},
        )
        for setting in settings
        for group in groups
    )


def _score(group: str, setting: Setting, rows: Sequence[Row], sets: Mapping[str, float]) -> Score:
    kept = [row.sharp_kept for row in rows if row.sharp_kept is not None]
    return Score(
        group=group,
        steps=setting.steps,
        samples=setting.samples,
        pictures=len(rows),
        blurred=round(float(np.mean([row.blurred for row in rows])), 3),
        deblurred=round(float(np.mean([row.deblurred for row in rows])), 3),
        gain=round(float(np.mean([row.deblurred - row.blurred for row in rows])), 3),
        sharp_kept=round(float(np.mean(kept)), 2) if kept else None,
        sharp_kept_min=round(min(kept), 2) if kept else None,
        metrics={**_means([row.metrics for row in rows]), **sets},
        input_metrics=_means([row.input_metrics for row in rows]),
        sharp_metrics=_means([row.sharp_metrics for row in rows]),
        spread=_mean_spread([row.spread for row in rows if row.spread is not None]),
    )


def _means(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of what every picture has a value of."""
    names = [name for name in values[0] if all(name in v for v in values)]
    return {name: round(float(np.mean([v[name] for v in values])), 4) for name in names}


def _mean_spread(spreads: Sequence[Spread]) -> Spread | None:
    if not spreads:
        return None
    columns = np.array([msgspec.structs.astuple(spread) for spread in spreads])
    return Spread(*(round(float(value), 4) for value in columns.mean(axis=0)))
