from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from export.calibration import read_crops
from export.check import main as check
from export.config import ExportConfig
from export.int8 import _leave_the_worst
from export.onnx import export
from export.sensitivity import LayerCost
from runtime.bundle import open_bundle
from runtime.errors import BundleError, DataError

GRAPHS = ("predictor.onnx", "denoiser_step.onnx")


@pytest.fixture(scope="module")
def report(int8_bundle: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((int8_bundle / "report.json").read_text())["parity"][
        "int8"
    ]
    return found


def in_float(report: dict[str, object], file: str) -> int:
    prefix = "model.predictor." if file == "predictor.onnx" else "model.denoiser."
    return sum(name.startswith(prefix) for name in report["in_float"])  # type: ignore[attr-defined]


def test_the_bound_holds_on_pictures_that_were_not_calibrated_on(
    report: dict[str, object],
) -> None:
    held: dict[str, list[float]] = report["held_out_db"]  # type: ignore[assignment]
    assert set(held) == {"balanced", "ancestral from noise", "dpm++2m from noise"}
    assert all(len(each) == 2 and min(each) >= 38.0 for each in held.values())
    # Every level of both schedules, picture by picture: 10 steps from noise, 10 from each guess.
    assert report["runs"] == 10 + 10 * report["pictures"]  # type: ignore[operator]


def test_each_layer_has_its_cost_and_the_worst_stands_first(report: dict[str, object]) -> None:
    costs: list[dict[str, float]] = report["layers"]  # type: ignore[assignment]
    assert len(costs) == 2 * 53
    decibels = [entry["psnr_db"] for entry in costs]
    assert decibels == sorted(decibels)
    assert decibels[0] < decibels[-1] < 120.0


def test_the_gain_in_time_is_that_of_the_figures_beside_it(report: dict[str, object]) -> None:
    times: dict[str, list[float]] = report["milliseconds"]  # type: ignore[assignment]
    full, quantised = (times["predictor"][k] + 10 * times["step"][k] for k in (0, 1))
    assert report["speedup"] == pytest.approx(full / quantised)


@pytest.mark.parametrize("file", GRAPHS)
def test_weights_are_int8_per_channel_and_everything_is_symmetric(
    int8_bundle: Path, report: dict[str, object], file: str
) -> None:
    graph = onnx.load(int8_bundle / file).graph
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    quantised = 0
    for node in graph.node:
        weights = makers.get(node.input[1]) if node.op_type == "Conv" else None
        if weights is not None and weights.op_type == "DequantizeLinear":
            values, scales = (stored[name] for name in weights.input[:2])
            assert values.dtype == np.int8
            assert scales.shape == (values.shape[0],)
            quantised += 1
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert stored[node.input[2]].dtype == np.int8
            assert not stored[node.input[2]].any()
    assert quantised == 53 - in_float(report, file)


@pytest.mark.parametrize("file", GRAPHS)
def test_onnx_runtime_computes_every_quantised_layer_in_int8(
    int8_bundle: Path, report: dict[str, object], tmp_path: Path, file: str
) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(int8_bundle / file, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds.count("QLinearConv") == 53 - in_float(report, file)


def test_the_fused_graph_is_quantised_too_and_equals_the_loop(int8_bundle: Path) -> None:
    parity = json.loads((int8_bundle / "report.json").read_text())["parity"]
    assert parity["fused"]["steps"] == 2
    assert parity["fused"]["psnr_db"] > 50.0
    assert "fused.onnx" in open_bundle(int8_bundle).manifest.files


def test_it_is_checked_against_the_network_on_pictures(
    int8_bundle: Path,
    biased_checkpoint: Path,
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = shutil.copytree(int8_bundle, tmp_path / "int8")
    options = ("--pictures", str(photographs), "--size", "32x32", "--bisect")
    assert check([str(target), "--checkpoint", str(biased_checkpoint)]) == 2
    assert "--pictures" in capsys.readouterr().err
    assert check([str(target), "--checkpoint", str(biased_checkpoint), *options]) == 0
    assert capsys.readouterr().out.count("no layer of 53 departs") == 2


def test_nvidia_s_builder_takes_the_quantised_layers_as_such(
    int8_bundle: Path, report: dict[str, object]
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    from export.engines.builder import Builder
    from export.engines.library import open_library
    from export.engines.plan import BuildConfig
    from runtime.plans.shapes import Size, SizeRange

    size = Size(64, 64)
    builder = Builder(open_library("tensorrt-rtx", ()), open_bundle(int8_bundle), print)
    config = BuildConfig((SizeRange(size, size, size),), targets=(86,))
    for name, identity in builder.identities(config).items():
        proof = builder.build(identity)[0].proof
        file = {"predictor": GRAPHS[0], "step": GRAPHS[1]}[name]
        assert proof.quantized == 53 - in_float(report, file)


class Search:
    """A network that gains 5 dB with each layer that is left in float."""

    def quantised(self, in_float: Sequence[str]) -> int:
        return len(in_float)

    def judge(self, models: int) -> dict[str, tuple[float, ...]]:
        return {"one": (90.0, 20.0 + 5.0 * models), "other": (90.0, 90.0)}


def test_the_worst_layers_are_left_in_float_until_the_bound_holds() -> None:
    costs = [LayerCost("step", f"layer{k}", 10.0 + k) for k in range(20)]
    names, models, held = _leave_the_worst(Search(), costs, 38.0)  # type: ignore[arg-type]
    assert names == ["layer0", "layer1", "layer2", "layer3"]
    assert (models, held["one"]) == (4, (90.0, 40.0))
    with pytest.raises(BundleError, match=r"keeps 60.0 dB .* half of the layers"):
        _leave_the_worst(Search(), costs, 80.0)  # type: ignore[arg-type]


def test_too_few_pictures_are_refused_and_nothing_is_written(
    checkpoint: Path, photographs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted(photographs.iterdir())[:2]:
        shutil.copy(path, folder)
    config = ExportConfig(precision="int8", calibration=folder)
    with pytest.raises(DataError, match="wanted are at least 3"):
        export(checkpoint, tmp_path / "bundle", config)
    assert not (tmp_path / "bundle").exists()


def test_crops_come_from_all_over_the_folder_and_broken_files_are_left_out(
    photographs: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(photographs, tmp_path / "pictures")
    (folder / "2.png").write_bytes(b"no picture")
    crops = read_crops(folder, 64, 3)
    assert [crop.shape for crop in crops] == [(64, 64, 3)] * 2
    with pytest.raises(DataError, match="at least 200x200"):
        read_crops(folder, 200, 3)
