"""The sampling presets that an export writes."""

from __future__ import annotations

import numpy as np
import pytest

from export.config import ExportConfig
from export.presets import GUESS_LEVEL, PRESETS, compile_presets
from runtime.errors import OptionError


def test_presets_from_the_guess_begin_at_the_level_asked_for() -> None:
    usual, closer = compile_presets("edm"), compile_presets("edm", GUESS_LEVEL + 7.0)
    for name in ("balanced", "distortion", "realtime"):
        before, after = (presets[name].table.column("level") for presets in (usual, closer))
        assert after == pytest.approx(before + 7.0), name
    assert closer["balanced"].table.column("level")[0] == pytest.approx(GUESS_LEVEL + 7.0)


def test_the_preset_for_the_least_error_begins_closest_to_the_guess() -> None:
    begins = {
        name: preset.table.column("level")[0]
        for name, preset in compile_presets("edm").items()
        if preset.sampler.start == "guess"
    }
    assert max(begins, key=lambda name: begins[name]) == "distortion"


@pytest.mark.parametrize("level", [-4.0, 12.0])
def test_every_level_that_is_taken_makes_presets(level: float) -> None:
    for name, preset in compile_presets("edm", ExportConfig(guess_level=level).guess_level).items():
        assert np.isfinite(preset.rows).all(), name


@pytest.mark.parametrize("name", ["paper-sa", "perception"])
def test_presets_from_pure_noise_stay_as_they_are(name: str) -> None:
    assert compile_presets("edm", 10.0)[name] == compile_presets("edm")[name]


def test_fresh_noise_has_the_posteriors_variance() -> None:
    stochastic = [config.sampler for config in PRESETS.values() if config.sampler.steps >= 10]
    assert {(sampler.method, sampler.eta) for sampler in stochastic} == {("ddim", 1.0)}


@pytest.mark.parametrize("level", [-5.0, 13.0, float("nan")])
def test_a_level_that_no_sampler_begins_at_is_refused(level: float) -> None:
    with pytest.raises(OptionError, match="wanted is a log-SNR from -4 to 12"):
        ExportConfig(guess_level=level)
