"""The draw that decides whether an effect happens to a sample."""

from __future__ import annotations

import numpy as np


def happens(rng: np.random.Generator, fraction: float) -> bool:
    """Whether an effect of this share of the samples happens to the next one.

    One that is switched off draws no number: the samples of a configuration stay what they were
    when the effect was added.
    """
    return fraction > 0.0 and rng.random() < fraction
