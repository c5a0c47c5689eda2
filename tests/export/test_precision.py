from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.onnx import export, main
from export.precision import in_precision
from runtime.bundle import open_bundle
from runtime.engines.onnx import OnnxEngine
from train.checkpoint import load_model


@pytest.fixture(scope="module")
def half_bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("half") / "bundle"
    parity = export(checkpoint, target, precision="float16")
    assert min(entry.psnr_db for entry in parity.samplers) >= 45.0
    return target


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


def test_an_unknown_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["m.safetensors", "-o", str(tmp_path / "b"), "--precision", "fp8"])


def test_engines_of_it_are_proved_to_be_half(half_bundle: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    from export.engines.builder import Builder
    from export.engines.library import open_library
    from export.engines.plan import BuildConfig
    from runtime.plans.shapes import Size, SizeRange

    size = Size(64, 64)
    builder = Builder(open_library("tensorrt-rtx", ()), open_bundle(half_bundle), print)
    for identity in builder.identities(BuildConfig((SizeRange(size, size, size),))).values():
        proof = builder.build(identity)[0].proof
        assert proof.convolutions == {"HALF": 93}
        assert proof.weights_bytes < 1.5 * proof.graph_weights_bytes
