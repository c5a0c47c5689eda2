"""The command: what a sweep draws, recommends and writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from runtime.bundle import open_bundle
from runtime.images import read_image
from runtime.samplers import SamplerConfig
from train.measuring.curve import PICTURE
from train.measuring.grids import GRIDS, Grid
from train.sweep import CIRCUMSTANCES, main

GUESS = SamplerConfig("ancestral", "log-snr", 2, cleanest=9.0, noisiest=3.0, start="guess")
SMALL = Grid((SamplerConfig(steps=0), GUESS), (1, 3))


def test_the_command_draws_recommends_and_writes_presets(
    pairs: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(GRIDS, "quick", lambda: SMALL)
    bundle, output = tmp_path / "bundle", tmp_path / "sweep"
    shutil.copytree(small_bundle, bundle)
    arguments = [str(bundle), str(pairs), "-o", str(output), "--grid", "quick", "--write"]
    assert main(arguments) == 0
    record = json.loads((output / CIRCUMSTANCES).read_text())
    assert record["circumstances"]["pictures"] == 3
    presets = open_bundle(bundle).presets
    for name in ("distortion", "balanced", "realtime"):
        assert presets[name].sampler.steps == record["recommended"][name]["steps"] == 2
    assert "paper-sa" in presets
    assert {name for name, preset in presets.items() if preset.self_ensemble} == {"distortion"}
    assert {name for name, preset in presets.items() if preset.strength > 1} == {"distortion"}
    if "not drawn" not in capsys.readouterr().out:
        assert read_image(output / PICTURE).size > 0
    # Writing presets changes the bundle's manifest, but not what was measured.
    assert main(arguments) == 0
    assert main([*arguments, "--seed", "1"]) == 2
    assert "another seed (0, not 1)" in capsys.readouterr().err
