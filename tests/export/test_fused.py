from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from export.fused import fuse
from export.layers import open_session, run_session
from export.parity import picture
from runtime.bundle import Bundle, open_bundle
from runtime.noise import normals
from runtime.samplers import compile_table, with_steps
from runtime.session import Session

STEPS = 3


@pytest.fixture(scope="module")
def bundle(small_bundle: Path) -> Bundle:
    return open_bundle(small_bundle)


@pytest.fixture(scope="module")
def fused(bundle: Bundle) -> onnx.ModelProto:
    manifest = bundle.manifest
    models = [onnx.load(bundle.path(g.file)) for g in (manifest.predictor, manifest.step)]
    sampler = with_steps(bundle.preset(None).sampler, STEPS)
    table = compile_table(sampler, manifest.prediction)
    return fuse(*models, table, manifest.size_multiple_px)[0]


@pytest.mark.parametrize(("height", "width"), [(32, 48), (56, 40)])
def test_it_makes_the_runtime_s_picture_of_the_same_noise(
    fused: onnx.ModelProto, small_bundle: Path, height: int, width: int
) -> None:
    image = picture(height, width)
    noise = np.stack([normals(9, 0, step, height, width) for step in range(STEPS + 1)])
    session = open_session(fused.SerializeToString(), optimised=True)
    [sharp] = run_session(session, {"image": image, "noise": noise})
    with Session(small_bundle) as runtime:
        wanted = runtime.deblur(image, steps=STEPS, samples=1, seed=9)
    assert sharp.shape == (height, width, 3)
    assert sharp.dtype == np.uint8
    apart = np.abs(sharp.astype(int) - wanted)
    # The optimiser may order a sum otherwise, and then a half rounds to the other side.
    assert apart.max() <= 1
    assert (apart > 0).mean() < 1e-3
    assert np.abs(sharp.astype(int) - image).max() > 5


def test_the_steps_share_their_weights(fused: onnx.ModelProto, small_bundle: Path) -> None:
    parts = sum(
        (small_bundle / name).stat().st_size for name in ("predictor.onnx", "denoiser_step.onnx")
    )
    weights = sum(len(tensor.raw_data) for tensor in fused.graph.initializer)
    assert weights < parts
    assert sum(node.op_type == "Conv" for node in fused.graph.node) == 53 * (1 + STEPS)


def test_it_builds_in_nvidia_s_builder_with_a_fixed_size(fused: onnx.ModelProto) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(fused.SerializeToString()), parser.get_error(0).desc()
    assert network.get_input(0).dtype == trt.DataType.UINT8
    assert network.get_output(0).dtype == trt.DataType.UINT8
    profile, config = builder.create_optimization_profile(), builder.create_builder_config()
    profile.set_shape("image", *[(64, 64, 3)] * 3)
    profile.set_shape("noise", *[(STEPS + 1, 3, 64, 64)] * 3)
    assert config.add_optimization_profile(profile) == 0
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    assert builder.build_serialized_network(network, config) is not None
