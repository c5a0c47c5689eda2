"""Presets written into a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from runtime.bundle import open_bundle
from runtime.errors import BundleError
from runtime.samplers import SamplerConfig
from train.presets import compile_preset, write_presets

GUESS = SamplerConfig("ancestral", "log-snr", 2, cleanest=9.0, noisiest=3.0, start="guess")


def test_presets_that_cannot_be_written_leave_the_bundle_as_it_was(
    small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(small_bundle, bundle)
    preset = compile_preset("two steps", 1, GUESS, "x0")
    broken = msgspec.structs.replace(preset, rows=((1.0, 2.0),))
    with pytest.raises(BundleError, match="7 numbers"):
        write_presets(bundle, {"broken": broken})
    assert "broken" not in open_bundle(bundle).presets
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_preset_is_written_as_it_is_given(small_bundle: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(small_bundle, bundle)
    presets = {
        name: compile_preset("two steps", 8, GUESS, "x0", self_ensemble=turned)
        for name, turned in (("distortion", False), ("balanced", True))
    }
    written = write_presets(bundle, presets).presets
    assert {name: written[name] for name in presets} == presets
