"""The whole way over a machine that is lent: shards, two stretches, pieces, a bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import onnx
import pytest
import skimage.data

from export.config import ExportConfig
from export.exporter import describe_bundle
from export.graphs import TracedGraph
from runtime.bundle import Graph, Manifest
from train.checkpoint import load_card, load_model
from train.chunks import LOG, thin_out
from train.config import ModelConfig
from train.journal import Entry
from train.portable import main
from train.recipes import RECIPES_BY_NAME

MODEL = ModelConfig(4, 4, blocks=1, unshuffle=2)

OPTIONS = (
    "--recipe", "reference-tiny", "--crop", "32", "--batch", "2", "--longest-blur", "8",
    "--warmup", "2", "--accelerator", "cpu", "--workers", "2", "--every", "0.02",
)  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tar files of two pictures, and of one pair for validation."""
    folder = tmp_path_factory.mktemp("shards")
    sharp = skimage.data.astronaut()[:160, 150:310, ::-1]
    for name, image in (
        ("train", sharp),
        ("val/blur", cv2.blur(sharp, (3, 3))),
        ("val/sharp", sharp),
    ):
        (folder / name).mkdir(parents=True)
        cv2.imwrite(str(folder / name / "a.png"), image)
    for name in ("train", "val"):
        assert main(["pack-pictures", str(folder / name), "-o", str(folder / f"{name}-tar")]) == 0
    return folder


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe as it is, of networks so narrow that seconds suffice."""
    recipe = RECIPES_BY_NAME["reference-tiny"]
    stages = tuple(replace(stage, model=MODEL) for stage in recipe.stages)
    monkeypatch.setitem(RECIPES_BY_NAME, "reference-tiny", replace(recipe, stages=stages))


def stretch(shards: Path, output: Path, *options: str) -> None:
    arguments = ["train", str(shards / "train-tar"), "-o", str(output), *OPTIONS, *options]
    assert main(arguments) == 0


def manifest_of(weights: Path) -> Manifest:
    """What an export of ``weights`` would say of them, without the seconds of tracing."""
    model, card = load_model(weights)
    graph = TracedGraph(onnx.ModelProto(), Graph("any.onnx", (), ()))
    return describe_bundle("any", model, card, graph, graph, ExportConfig())


def test_two_stretches_make_weights_whose_bundle_says_how_they_were_made(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    stretch(
        shards, first, "--minutes", "0.03", "--of", "0.08", "--validation", str(shards / "val-tar")
    )
    piece = first / "model-1-of-1.safetensors"
    assert {path.name for path in first.iterdir()} == {piece.name, LOG}
    assert piece.stat().st_size < 16_000_000
    stretch(shards, second, "--minutes", "1", "--of", "0.08", "--from", str(piece))
    joined = tmp_path / "model.safetensors"
    assert main(["unpack-weights", str(second / piece.name), "-o", str(joined)]) == 0
    before, after = load_card(piece), load_card(joined)
    assert [stage.config.loss.denoise for stage in after.stages] == [0.0, 1.0]
    assert sum(s.seconds for s in after.stages) > sum(s.seconds for s in before.stages)
    assert list(after.stages[0].files) == ["a.png"]
    said = capsys.readouterr().out
    assert "stage 1 of 2" in said
    assert "over the blurred)" in said
    lines = [json.loads(line) for line in (first / LOG).read_bytes().splitlines()]
    wanted = {"stage", "step", "loss", "seconds", "validation_db", "blurred_db"}
    assert any(wanted <= set(line) for line in lines)
    weights = manifest_of(joined).weights
    assert weights["stages"][0]["files"] == after.stages[0].files
    assert weights["stages"][1]["config"]["seed"] == 1
    assert weights["hours"] == round(sum(stage.seconds for stage in after.stages) / 3600, 2)


def test_a_work_folder_keeps_what_a_stretch_needs_to_go_on_exactly(
    shards: Path, tmp_path: Path
) -> None:
    times = ("--minutes", "0.02", "--of", "10", "--work", str(tmp_path / "work"))
    for name in ("first", "second"):
        stretch(shards, tmp_path / name, *times)
    cards = [
        load_card(tmp_path / name / "model-1-of-1.safetensors") for name in ("first", "second")
    ]
    assert cards[1].step > cards[0].step
    assert (tmp_path / "work" / "run" / "stage-1" / "last.safetensors").is_file()


def test_a_log_keeps_every_hundredth_step_and_each_validation() -> None:
    history = [
        Entry(step, 0.5, validation_db=20.0 if step == 7 else None) for step in range(1, 301)
    ]
    assert [entry.step for entry in thin_out(history)] == [7, 100, 200, 300]


def test_minutes_that_are_none_are_refused(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(shards / "train-tar"), "-o", str(tmp_path), "--minutes", "0"]
    assert main(arguments) == 2
    assert "wanted are more than 0" in capsys.readouterr().err
