"""The sampling presets that go into every bundle."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.bundle import Preset
from runtime.samplers import Prediction, SamplerConfig, compile_table

DEFAULT_PRESET = "balanced"


@dataclass(frozen=True)
class PresetConfig:
    """A preset before it is compiled for what a network predicts."""

    summary: str
    samples: int
    sampler: SamplerConfig


# Noise of a standard deviation of 0.22 where the residual of a blurred photograph has about 0.12:
# enough to forget the predictor's guess, without the steps that only remove pure noise.
_FROM_THE_GUESS = SamplerConfig(
    method="ancestral", schedule="log-snr", steps=10, cleanest=9.0, noisiest=3.0, start="guess"
)

PRESETS: dict[str, PresetConfig] = {
    "balanced": PresetConfig(
        "10 ancestral steps from the predictor's guess, 4 samples averaged", 4, _FROM_THE_GUESS
    ),
    "distortion": PresetConfig(
        "10 ancestral steps from the predictor's guess, 8 samples averaged", 8, _FROM_THE_GUESS
    ),
    "paper-sa": PresetConfig(
        "10 ancestral steps from pure noise on the paper's schedule, 8 samples averaged",
        8,
        SamplerConfig(method="ancestral", schedule="linear", beta_end=0.5, steps=10),
    ),
    "perception": PresetConfig(
        "500 ancestral steps on the paper's schedule, one sample",
        1,
        SamplerConfig(method="ancestral", schedule="linear", beta_end=0.02, steps=500),
    ),
    "realtime": PresetConfig(
        "2 deterministic steps from an intermediate level",
        1,
        SamplerConfig(
            method="ddim", schedule="log-snr", steps=2, cleanest=5.0, noisiest=1.0, start="guess"
        ),
    ),
}


def compile_presets(prediction: Prediction) -> dict[str, Preset]:
    """All presets with their tables, for a network that predicts ``prediction``."""
    return {name: _compile(config, prediction) for name, config in PRESETS.items()}


def _compile(config: PresetConfig, prediction: Prediction) -> Preset:
    table = compile_table(config.sampler, prediction)
    rows = tuple(tuple(float(value) for value in row) for row in table.rows)
    return Preset(config.summary, config.samples, config.sampler, table.start, rows)
