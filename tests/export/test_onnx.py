from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch

from export.bundle import write_bundle
from export.onnx import main
from export.parity import PIXELS_WITHIN_ONE, Parity, compare
from export.reference import TorchEngine
from runtime.bundle import Manifest, Tables, open_bundle
from runtime.engines.onnx import OnnxEngine
from runtime.errors import BundleError
from runtime.samplers import COLUMNS
from train.checkpoint import load_model


@pytest.fixture(scope="module")
def parity(checkpoint: Path, small_bundle: Path) -> Parity:
    """The exported graphs against the network, which has random weights everywhere."""
    model, _ = load_model(checkpoint)
    engine = OnnxEngine(open_bundle(small_bundle))
    return compare(TorchEngine(model), engine, "x0", model.size_multiple_px)


def test_each_graph_is_the_network_at_sizes_it_was_not_traced_at(parity: Parity) -> None:
    shapes = {entry.shape for entry in parity.graphs}
    sizes = ((64, 64), (120, 200), (328, 136))
    assert shapes == {(3, 3, 64, 64), *((1, 3, *size) for size in sizes)}
    assert max(entry.max_abs for entry in parity.graphs) <= 1e-4


def test_the_whole_sampler_is_within_one_grey_level(parity: Parity) -> None:
    assert all(entry.steps == 10 for entry in parity.samplers)
    assert all(entry.within_one_grey_level >= PIXELS_WITHIN_ONE for entry in parity.samplers)


def test_a_changed_weight_is_noticed(checkpoint: Path, small_bundle: Path) -> None:
    model, _ = load_model(checkpoint)
    with torch.no_grad():
        model.predictor.head.bias += 0.01
    engine = OnnxEngine(open_bundle(small_bundle))
    assert compare(TorchEngine(model), engine, "x0", 8).failures()


def test_batch_height_and_width_are_free_in_steps_of_eight(small_bundle: Path) -> None:
    for name in ("predictor.onnx", "denoiser_step.onnx"):
        graph = onnx.load(small_bundle / name).graph
        dims = [dim.dim_param or dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]
        assert dims == ["batch", 3, "8*rows", "8*columns"]


def test_weights_are_stored_once(checkpoint: Path, small_bundle: Path) -> None:
    size = sum(path.stat().st_size for path in small_bundle.glob("*.onnx"))
    parameters = sum(p.numel() for p in load_model(checkpoint)[0].parameters())
    # 4 bytes a weight, and the two graphs' own description.
    assert size < 4 * parameters + 200_000


def test_no_path_of_the_exporting_machine_is_in_the_graphs(small_bundle: Path) -> None:
    here = str(Path(__file__).resolve().parents[2]).encode()
    assert all(here not in path.read_bytes() for path in small_bundle.glob("*.onnx"))


def test_the_manifest_says_where_the_weights_came_from(small_bundle: Path) -> None:
    weights = open_bundle(small_bundle).manifest.weights
    assert weights["model"]["predictor_channels"] == 4
    assert weights["stages"] == []


def test_the_memory_of_a_pixel_was_measured(small_bundle: Path) -> None:
    measured = open_bundle(small_bundle).manifest.tiling.working_bytes_per_px
    # Four channels of float32 at full size, some twenty of them alive at once.
    assert measured is not None
    assert 50 < measured < 5000


def test_the_report_holds_the_comparison(small_bundle: Path) -> None:
    report = json.loads((small_bundle / "report.json").read_text())
    assert report["parity"]["onnx-cpu"]["graphs"]


def test_a_refused_bundle_leaves_the_old_one(small_bundle: Path, tmp_path: Path) -> None:
    target = shutil.copytree(small_bundle, tmp_path / "bundle")
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    manifest = open_bundle(target).manifest

    def refuse(_: Path, __: Manifest) -> tuple[Manifest, dict[str, bytes]]:
        raise BundleError("off")

    with pytest.raises(BundleError, match="off"):
        write_bundle(target, manifest, Tables(COLUMNS, {}), {"a": b"b"}, refuse)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_replaces_an_older_one(small_bundle: Path, tmp_path: Path) -> None:
    target = shutil.copytree(small_bundle, tmp_path / "bundle")
    manifest = open_bundle(target).manifest
    write_bundle(
        target,
        manifest,
        Tables(COLUMNS, {}),
        {"new": b"1"},
        lambda _, manifest: (manifest, {"report": b"2"}),
    )
    assert {path.name for path in target.iterdir()} == {
        "manifest.json",
        "tables.json",
        "new",
        "report",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_that_is_no_bundle_is_not_overwritten(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(BundleError, match="is no bundle"):
        write_bundle(tmp_path, None, None, {}, lambda _, manifest: (manifest, {}))  # type: ignore[arg-type]
    assert (tmp_path / "keep.txt").read_text() == "mine"


def test_a_missing_checkpoint_is_one_line_and_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "gone.safetensors"), "-o", str(tmp_path / "b")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("kind", ["pickle", "truncated", "text", "other safetensors"])
def test_what_is_no_checkpoint_is_one_line_and_nothing_is_written(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    wrong = tmp_path / "wrong.safetensors"
    if kind == "pickle":
        torch.save({"weights": torch.zeros(3)}, wrong)
    elif kind == "truncated":
        wrong.write_bytes(checkpoint.read_bytes()[:-100])
    elif kind == "text":
        wrong.write_text("not a checkpoint")
    else:
        safetensors.torch.save_file({"weights": torch.zeros(3)}, wrong)
    assert main([str(wrong), "-o", str(tmp_path / "bundle")]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert str(wrong) in said
    assert [path.name for path in tmp_path.iterdir()] == [wrong.name]


def test_nodes_are_named_after_the_modules_that_they_belong_to(small_bundle: Path) -> None:
    for name in ("predictor.onnx", "denoiser_step.onnx"):
        graph = onnx.load(small_bundle / name).graph
        assert graph.name == Path(name).stem
        assert len({node.name for node in graph.node}) == len(graph.node)
        for node in graph.node:
            place, _, kind = node.name.rpartition("/")
            assert kind.partition("_")[0] == node.op_type
            if node.op_type == "Conv":
                assert f"{place}.weight" == node.input[1]


def test_tables_are_those_of_the_paper(small_bundle: Path) -> None:
    table = open_bundle(small_bundle).preset("paper-sa").table
    assert table.steps == 10
    assert np.isfinite(table.rows).all()
