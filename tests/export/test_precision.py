from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.onnx import main
from export.precision import in_precision
from export.widened import widened
from runtime.bundle import open_bundle
from runtime.engines.onnx import OnnxEngine
from train.checkpoint import load_model
from train.config import ModelConfig
from train.network import Model, UNet


def types(path: Path) -> dict[str, set[int]]:
    """The data types of the weights of each kind of layer in the graph at ``path``."""
    graph = onnx.load(path).graph
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    kinds: dict[str, set[int]] = {}
    for node in graph.node:
        for name in node.input[1:2]:
            if name in stored:
                kinds.setdefault(node.op_type, set()).add(stored[name])
    return kinds


def test_every_convolution_is_stored_and_computed_in_half(half_bundle: Path) -> None:
    for name in ("predictor.onnx", "denoiser_step.onnx"):
        assert types(half_bundle / name)["Conv"] == {onnx.TensorProto.FLOAT16}


def test_the_sines_of_the_level_embedding_stay_in_float32(half_bundle: Path) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(half_bundle / "denoiser_step.onnx"))
    inferred = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    sines = [node for node in model.graph.node if node.op_type in ("Sin", "Cos")]
    assert len(sines) == 2
    assert {inferred[node.output[0]] for node in sines} == {onnx.TensorProto.FLOAT}


def test_inputs_and_outputs_stay_in_float32(half_bundle: Path) -> None:
    manifest = open_bundle(half_bundle).manifest
    assert manifest.precision == "float16"
    for graph in (manifest.predictor, manifest.step):
        assert {tensor.dtype for tensor in (*graph.inputs, *graph.outputs)} == {"float32"}


def test_the_level_embedding_keeps_weights_that_half_cannot_hold(checkpoint: Path) -> None:
    model, _ = load_model(checkpoint)
    assert model.denoiser.embedding is not None
    with torch.no_grad():
        model.denoiser.embedding.mix.bias.fill_(1.0 + 2.0**-20)
    typed = in_precision(model, "float16")
    names = dict(typed.named_parameters())
    kept = names["denoiser.network.embedding.embedding.mix.bias"].detach()
    assert kept.dtype == torch.float32
    assert float(kept[0]) == 1.0 + 2.0**-20


def test_activations_beyond_half_s_range_keep_their_picture(checkpoint: Path) -> None:
    model, _ = load_model(checkpoint)
    assert isinstance(model.predictor, UNet)
    torch.manual_seed(0)
    with torch.no_grad():
        model.predictor.stem.weight.mul_(1e6)
        model.predictor.head.weight.mul_(1e-6)
    y = torch.rand(1, 3, 32, 32) * 2 - 1
    features: list[torch.Tensor] = []
    model.predictor.middle[0].register_forward_hook(lambda _, __, out: features.append(out))
    with torch.inference_mode():
        wanted, got = (each.predict(y) for each in (model, in_precision(model, "float16")))
    full, half = features[0], features[-1]
    assert float(full.abs().max()) > 65504.0
    assert half.dtype == torch.float16
    assert float(half.abs().max()) < 65504.0
    assert float((wanted - y).abs().max()) > 0.05
    assert float((wanted - got).abs().max()) < 5e-3


@pytest.mark.parametrize("predictor", ["direct", "xydeblur", "unet-xy"])
def test_every_kind_of_predictor_can_be_in_half(predictor: str) -> None:
    model = Model(ModelConfig(predictor=predictor, predictor_channels=4, denoiser_channels=4))
    y = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        wanted, got = (each.eval().predict(y) for each in (model, in_precision(model, "float16")))
    assert float((wanted - got).abs().max()) < 5e-3


def test_the_network_that_it_was_made_of_is_left_alone(checkpoint: Path) -> None:
    model, _ = load_model(checkpoint)
    in_precision(model, "float16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.denoiser.embedding is not None


def test_the_graphs_run_and_stay_near_float32(half_bundle: Path, small_bundle: Path) -> None:
    y = np.random.default_rng(0).uniform(-1.0, 1.0, (1, 3, 40, 72)).astype(np.float32)
    half, full = (OnnxEngine(open_bundle(path)).predict(y) for path in (half_bundle, small_bundle))
    assert 0.0 < float(np.abs(half - full).max()) < 5e-3


def test_half_precision_is_half_the_size(half_bundle: Path, small_bundle: Path) -> None:
    weights = [
        sum(len(tensor.raw_data) for tensor in onnx.load(path / "predictor.onnx").graph.initializer)
        for path in (half_bundle, small_bundle)
    ]
    assert 0.49 < weights[0] / weights[1] < 0.52


def test_an_unknown_precision_is_one_line_and_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["m.safetensors", "-o", str(tmp_path / "b"), "--precision", "fp8"])
    assert left.value.code == 2
    said = capsys.readouterr().err.strip()
    assert "fp8" in said
    assert len(said.splitlines()) == 1


def test_bfloat16_is_stored_and_its_level_embedding_is_float32(bfloat_bundle: Path) -> None:
    stored = types(bfloat_bundle / "denoiser_step.onnx")
    assert stored["Conv"] == {onnx.TensorProto.BFLOAT16}
    model = onnx.shape_inference.infer_shapes(onnx.load(bfloat_bundle / "denoiser_step.onnx"))
    inferred = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    sines = [node for node in model.graph.node if node.op_type in ("Sin", "Cos")]
    assert {inferred[node.output[0]] for node in sines} == {onnx.TensorProto.FLOAT}
    manifest = open_bundle(bfloat_bundle).manifest
    for graph in (manifest.predictor, manifest.step):
        assert {tensor.dtype for tensor in (*graph.inputs, *graph.outputs)} == {"float32"}


def test_bfloat16_widened_to_float32_keeps_each_weight(bfloat_bundle: Path) -> None:
    narrow = onnx.load(bfloat_bundle / "predictor.onnx")
    wide = {tensor.name: tensor for tensor in widened(narrow).graph.initializer}
    assert onnx.TensorProto.BFLOAT16 not in {tensor.data_type for tensor in wide.values()}
    for tensor in narrow.graph.initializer:
        values = [
            onnx.numpy_helper.to_array(t).astype(np.float32) for t in (tensor, wide[tensor.name])
        ]
        assert np.array_equal(*values)


def test_a_precision_other_than_int8_takes_no_calibration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["m.safetensors", "-o", str(tmp_path / "b")]
    assert main([*command, "--precision", "int8"]) == 2
    assert main([*command, "--calibration", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("go together") == 2


@pytest.mark.parametrize("module", ["torch", "onnx"])
def test_a_missing_library_is_one_line_that_names_the_extra(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["m.safetensors", "-o", str(tmp_path / "b")]) == 2
    said = capsys.readouterr().err
    assert f"'{module}' is not installed" in said
    assert "dvsr-edge[export]" in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("module", ["onnx", "check", "trt", "triton", "doctor"])
def test_a_command_line_loads_without_the_libraries_that_it_may_need(module: str) -> None:
    hidden = ("torch", "onnx", "onnxruntime", "onnxscript", "filelock", "safetensors")
    code = f"import sys\nfor name in {hidden}: sys.modules[name] = None\nimport export.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("precision", "kind"), [("half", "HALF"), ("bfloat", "BF16")])
def test_engines_of_it_are_proved_to_be_of_it(
    request: pytest.FixtureRequest, precision: str, kind: str
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    from export.engines.builder import Builder
    from export.engines.library import open_library
    from export.engines.plan import BuildConfig
    from runtime.plans.shapes import Size, SizeRange

    size = Size(64, 64)
    bundle = open_bundle(request.getfixturevalue(f"{precision}_bundle"))
    builder = Builder(open_library("tensorrt-rtx", ()), bundle, print)
    config = BuildConfig((SizeRange(size, size, size),), targets=(86,))
    for identity in builder.identities(config).values():
        proof = builder.build(identity)[0].proof
        assert proof.convolutions == {kind: 53}
        assert proof.weights_bytes < 1.5 * proof.graph_weights_bytes
