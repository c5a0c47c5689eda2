"""A bundle's weights as a checkpoint again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from export.checkpoint import main, restore
from runtime.bundle import MANIFEST, open_bundle
from train.checkpoint import load_model, load_tensors


def test_weights_come_back_as_they_were_exported(
    checkpoint: Path, small_bundle: Path, tmp_path: Path
) -> None:
    restore(small_bundle, tmp_path / "again.safetensors")
    before, _ = load_tensors(checkpoint)
    after, _ = load_tensors(tmp_path / "again.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_the_shipped_weights_bring_their_history(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "shipped.safetensors"
    assert main(["-o", str(path)]) == 0
    assert f"wrote {path}" in capsys.readouterr().out
    _, card = load_model(path)
    stages = open_bundle().manifest.weights["stages"]
    assert [stage.crops for stage in card.stages] == [stage["crops"] for stage in stages]


def spoil_precision(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    (bundle / MANIFEST).write_text(json.dumps({**manifest, "precision": "float16"}))


def spoil_history(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    (bundle / MANIFEST).write_text(json.dumps({**manifest, "weights": {}}))


def spoil_width(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    manifest["weights"]["model"]["denoiser_channels"] = 8
    (bundle / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_precision, "is float16"),
        (spoil_history, "does not say how its weights were trained"),
        (spoil_width, "hold no denoiser."),
    ],
)
def test_a_bundle_without_such_weights_is_one_line_and_nothing_written(
    spoil: Callable[[Path], None],
    said: str,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(bundle)
    assert main([str(bundle), "-o", str(tmp_path / "again.safetensors")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "again.safetensors").exists()
