"""Every engine that runs on a CPU against ONNX Runtime, on the default bundle's trained network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import EngineError, Session
from runtime.bundle import Bundle, open_bundle
from runtime.engines import Engine, SamplingEngine, open_engine
from runtime.engines.onnx import CPU, OnnxEngine
from runtime.engines.onnx_device import DeviceEngine
from runtime.loop import sample_residual
from runtime.noise import normals

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle()


@pytest.fixture(scope="module")
def reference(bundle: Bundle) -> Engine:
    return OnnxEngine(bundle)


@pytest.fixture(scope="module")
def device(bundle: Bundle) -> DeviceEngine:
    """The engine of onnx-cuda, with its arrays on the one device that is here."""
    return DeviceEngine(bundle, "bound", [CPU], device="cpu")


@pytest.fixture(scope="module")
def planes() -> Floats:
    """z, y, noise and previous, float32 (4, 1, 3, 32, 64)."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, 1, 3, 32, 64)).astype(np.float32) * np.float32(0.3)


@pytest.fixture(scope="module")
def row(bundle: Bundle) -> Floats:
    return bundle.preset("balanced").table.rows[2].astype(np.float32)


def largest_difference(engine: Engine, reference: Engine, planes: Floats, row: Floats) -> float:
    z, y, noise, previous = planes
    outputs = (engine.predict(y), *engine.step(z, y, noise, previous, row))
    wanted = (reference.predict(y), *reference.step(z, y, noise, previous, row))
    return max(float(np.abs(a - b).max()) for a, b in zip(outputs, wanted, strict=True))


def test_openvino_in_float32_computes_the_same(
    bundle: Bundle, reference: Engine, planes: Floats, row: Floats
) -> None:
    pytest.importorskip("openvino")
    engine = open_engine("openvino-fp32", bundle)
    assert "float32" in engine.name
    assert largest_difference(engine, reference, planes, row) < 1e-4


def test_openvino_at_its_fastest_stays_within_a_grey_level(
    bundle: Bundle, reference: Engine, planes: Floats, row: Floats
) -> None:
    pytest.importorskip("openvino")
    engine = open_engine("openvino", bundle)
    # bfloat16 keeps 8 bits; a grey level is 1/127.5 of the model's range.
    assert largest_difference(engine, reference, planes, row) < 2.0 / 127.5
    image = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3, 1) * 40, np.ones((16, 16, 3)))
    pictures = [
        Session(engine=name).deblur(image.astype(np.uint8), steps=2, samples=1).astype(int)
        for name in ("openvino", "onnx-cpu")
    ]
    assert (np.abs(pictures[0] - pictures[1]) <= 1).mean() > 0.99


def test_arrays_that_stay_on_the_device_give_the_same(
    device: DeviceEngine, reference: Engine, planes: Floats, row: Floats
) -> None:
    assert largest_difference(device, reference, planes, row) == 0.0


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_loop_that_stays_on_the_device_gives_the_same(
    device: DeviceEngine, reference: Engine, bundle: Bundle, planes: Floats, steps: int
) -> None:
    table = bundle.preset("balanced").table
    table = type(table)(table.start, table.rows[-steps:])

    def noise(step: int) -> Floats:
        return normals(0, 0, step, 32, 64)[None]

    assert isinstance(device, SamplingEngine)
    sampled = device.sample(table, planes[1], noise, lambda _: nullcontext())
    assert np.array_equal(sampled, sample_residual(table, planes[1], reference.step, noise))


def test_threads_do_not_share_arrays_on_the_device(
    device: DeviceEngine, reference: Engine, planes: Floats
) -> None:
    pictures = [planes[index, :, :, : 32 * rows] for index in range(4) for rows in (1, 2)]
    pictures = [np.ascontiguousarray(picture) for picture in pictures] * 2
    with ThreadPoolExecutor(3) as pool:
        guesses = list(pool.map(device.predict, pictures))
    for picture, guess in zip(pictures, guesses, strict=True):
        assert np.array_equal(guess, reference.predict(picture))


@pytest.mark.parametrize("name", ["onnx-cpu", "openvino"])
def test_a_shape_that_no_graph_takes_is_an_engine_error_and_the_next_works(
    bundle: Bundle, name: str, planes: Floats
) -> None:
    if name == "openvino":
        pytest.importorskip("openvino")
    engine = open_engine(name, bundle)
    with pytest.raises(EngineError, match="failed on y"):
        engine.predict(np.zeros((1, 4, 32, 64), np.float32))
    assert engine.predict(planes[1]).shape == planes[1].shape
