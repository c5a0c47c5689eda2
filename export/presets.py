"""The sampling presets that go into every bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from runtime.bundle import Preset
from runtime.samplers import (
    Prediction,
    SamplerConfig,
    guess_sampler,
    paper_sampler,
)
from train.presets import compile_preset

DEFAULT_PRESET = "balanced"


@dataclass(frozen=True)
class PresetConfig:
    """A preset before it is compiled for what a network predicts."""

    summary: str
    samples: int
    sampler: SamplerConfig
    self_ensemble: bool = False
    strength: float = 1.0


# Where samplers that begin with the predictor's guess begin: noise of a standard deviation of 0.22
# where the residual of a blurred photograph has about 0.12. That is enough to forget the guess,
# without the steps that only remove pure noise.
GUESS_LEVEL = 3.0

_FROM_THE_GUESS = guess_sampler(10, GUESS_LEVEL, GUESS_LEVEL + 6.0)
# Whoever wants the picture of the least error wants its samples still closer to the guess.
_CLOSE_TO_THE_GUESS = guess_sampler(10, GUESS_LEVEL + 2.0, GUESS_LEVEL + 8.0)

PRESETS: dict[str, PresetConfig] = {
    "balanced": PresetConfig(
        "10 steps from the predictor's guess, 4 samples averaged", 4, _FROM_THE_GUESS
    ),
    "distortion": PresetConfig(
        "10 steps from close to the predictor's guess, 8 samples of the picture turned 8 ways "
        "averaged, and a fifth more of what they change",
        8,
        _CLOSE_TO_THE_GUESS,
        self_ensemble=True,
        strength=1.2,
    ),
    "paper-sa": PresetConfig(
        "10 steps from pure noise on the paper's schedule, 8 samples averaged",
        8,
        paper_sampler(10, 0.5),
    ),
    "perception": PresetConfig(
        "500 steps from pure noise on the paper's schedule, one sample",
        1,
        paper_sampler(500, 0.02),
    ),
    "realtime": PresetConfig(
        "2 deterministic steps from an intermediate level",
        1,
        SamplerConfig(
            method="ddim",
            schedule="log-snr",
            steps=2,
            cleanest=GUESS_LEVEL + 4.0,
            noisiest=GUESS_LEVEL,
            start="guess",
        ),
    ),
}


def compile_presets(prediction: Prediction, guess_level: float = GUESS_LEVEL) -> dict[str, Preset]:
    """All presets with their tables, for a network that predicts ``prediction``.

    Those that begin with the predictor's guess begin ``guess_level`` - GUESS_LEVEL closer to it.
    """
    closer = guess_level - GUESS_LEVEL
    return {name: _compile(_moved(config, closer), prediction) for name, config in PRESETS.items()}


def _moved(config: PresetConfig, closer: float) -> PresetConfig:
    sampler = config.sampler
    if sampler.start != "guess":
        return config
    levels = {"noisiest": sampler.noisiest + closer, "cleanest": sampler.cleanest + closer}
    return replace(config, sampler=msgspec.structs.replace(sampler, **levels))


def _compile(config: PresetConfig, prediction: Prediction) -> Preset:
    return compile_preset(
        config.summary,
        config.samples,
        config.sampler,
        prediction,
        self_ensemble=config.self_ensemble,
        strength=config.strength,
    )
