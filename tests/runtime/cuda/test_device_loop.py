"""The whole loop on a device that is this computer's memory, against the session's pictures.

Kernels are the GPU's own source built for the host, networks run in ONNX Runtime: only CUDA and
TensorRT themselves are not here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from host_driver import HostDriver, HostNetworks, sessions_of
from numpy.typing import NDArray

from runtime.bundle import Bundle
from runtime.cuda.graphs import GraphMode
from runtime.cuda.loop import DeviceLoop
from runtime.engines import Request
from runtime.errors import EngineError
from runtime.samplers import SamplerConfig, Table, compile_table
from runtime.session import Session

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

Images = NDArray[np.uint8]
HEIGHT, WIDTH = 32, 64
ANCESTRAL = SamplerConfig("ancestral", "log-snr", 3)
SOLVER = SamplerConfig("dpm++2m", "log-snr", 3)


@dataclass
class Bench:
    driver: HostDriver
    networks: HostNetworks
    loop: DeviceLoop


@pytest.fixture(scope="module")
def images(photograph: Images) -> Images:
    """Three pictures (3, H, W, 3)."""
    corners = [(40, 180), (100, 200), (300, 60)]
    return np.stack([photograph[r : r + HEIGHT, c : c + WIDTH] for r, c in corners])


@pytest.fixture(scope="module")
def make(host_kernels: ctypes.CDLL, tiny: Bundle) -> Callable[..., Bench]:
    """Makes loops whose networks share their ONNX Runtime sessions."""
    return partial(_make, host_kernels, sessions_of(tiny))


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    return make()


def _make(
    library: ctypes.CDLL,
    sessions: Mapping[str, Any],
    *,
    graph: GraphMode = "on",
    max_batch: int = 1,
    memory_mib: int | None = None,
) -> Bench:
    driver = HostDriver(library)
    networks = HostNetworks(driver, sessions, max_batch=max_batch)
    loop = DeviceLoop(driver, networks, "float32", graph=graph, memory_mib=memory_mib)
    return Bench(driver, networks, loop)


def table_of(bundle: Bundle, config: SamplerConfig) -> Table:
    return compile_table(config, bundle.manifest.prediction)


def reference(
    bundle: Bundle, image: Images, table: Table, samples: int, seed: int
) -> tuple[Images, NDArray[np.float32]]:
    """What the session makes of it, with any table."""
    with Session(bundle.directory, engine="onnx-cpu") as session:
        session._table = lambda preset, steps: table  # type: ignore[method-assign]
        return session.deblur(image, samples=samples, seed=seed, return_std=True)


@pytest.mark.parametrize("config", [ANCESTRAL, SOLVER], ids=["ancestral", "dpm++2m"])
def test_the_picture_is_the_sessions_before_and_after_its_graph_is_captured(
    bench: Bench, tiny: Bundle, images: Images, config: SamplerConfig
) -> None:
    table = table_of(tiny, config)
    seed = 2**64 - 1
    expected, spread = reference(tiny, images[0], table, 2, seed)
    for _ in range(3):
        result = bench.loop.run(Request(images[:1], table, 2, seed, want_std=True))
        np.testing.assert_array_equal(result.images[0], expected)
        assert result.std is not None
        np.testing.assert_allclose(result.std[0], spread, rtol=1e-5, atol=1e-5)
    assert result.stages_ms.keys() == {"graph"}


def test_no_steps_give_the_predictors_picture(bench: Bench, tiny: Bundle, images: Images) -> None:
    with Session(tiny.directory, engine="onnx-cpu") as session:
        expected = session.deblur(images[0], steps=0)
    table = table_of(tiny, SamplerConfig(steps=0))
    result = bench.loop.run(Request(images[:1], table, 3, 0, want_std=True, want_samples=True))
    np.testing.assert_array_equal(result.images[0], expected)
    assert result.std is not None
    assert not result.std.any()
    assert result.samples is not None
    np.testing.assert_array_equal(result.samples[0], np.stack([expected] * 3))


def test_batched_pictures_and_samples_are_those_of_one_at_a_time(
    make: Callable[..., Bench], tiny: Bundle, images: Images
) -> None:
    table = table_of(tiny, ANCESTRAL)
    request = Request(images, table, 2, 9, want_std=True, want_samples=True)
    single, batched = (make(max_batch=batch).loop.run(request) for batch in (1, 4))
    for name in ("images", "samples"):
        one, many = (getattr(result, name).astype(int) for result in (single, batched))
        # The library may add up a batch in another order.
        assert np.abs(one - many).max() <= 1
    assert single.std is not None
    assert batched.std is not None
    np.testing.assert_allclose(batched.std, single.std, atol=0.05)


def test_the_samples_average_to_the_picture(bench: Bench, tiny: Bundle, images: Images) -> None:
    table = table_of(tiny, ANCESTRAL)
    result = bench.loop.run(Request(images[:1], table, 3, 1, want_samples=True))
    assert result.samples is not None
    assert len(np.unique(result.samples.reshape(3, -1), axis=0)) == 3
    average = result.samples[0].astype(float).mean(0)
    inside = (result.samples[0] > 0).all(0) & (result.samples[0] < 255).all(0)
    assert np.abs(average - result.images[0])[inside].max() <= 1.0


def test_a_graph_serves_every_picture_and_every_seed(
    bench: Bench, make: Callable[..., Bench], tiny: Bundle, images: Images
) -> None:
    table = table_of(tiny, ANCESTRAL)
    plain = make(graph="off").loop
    captures = []
    for image, seed in ((0, 1), (1, 1), (1, 2), (2, 2**64 - 1), (0, 1)):
        request = Request(images[image : image + 1], table, 1, seed)
        np.testing.assert_array_equal(bench.loop.run(request).images, plain.run(request).images)
        captures.append(bench.driver.calls.count("begin_capture"))
    assert captures[-1] == 1


def test_a_kept_seed_draws_its_noise_once(bench: Bench, tiny: Bundle, images: Images) -> None:
    table = table_of(tiny, ANCESTRAL)
    for image in images:
        bench.loop.run(Request(image[None], table, 2, 3))
    # Of three rows the last adds no noise; the start does.
    assert bench.driver.calls.count("normals") == 2 * 3


def test_noise_that_does_not_fit_is_drawn_in_each_step_and_gives_the_same_picture(
    bench: Bench, make: Callable[..., Bench], tiny: Bundle, images: Images
) -> None:
    table = table_of(tiny, ANCESTRAL)
    little = make()
    little.driver.capacity = 800_000
    for _ in range(2):
        request = Request(images[:1], table, 6, 4)
        found, expected = little.loop.run(request), bench.loop.run(request)
        np.testing.assert_array_equal(found.images, expected.images)
    # Three fields of six samples: drawn once where they are kept, else in each run.
    counts = [one.driver.calls.count("normals") for one in (bench, little)]
    assert counts == [3 * 6, 2 * 3 * 6]


def test_the_stages_are_named_without_a_graph(
    make: Callable[..., Bench], tiny: Bundle, images: Images
) -> None:
    loop = make(graph="off").loop
    result = loop.run(Request(images[:1], table_of(tiny, SOLVER), 1, 0))
    assert list(result.stages_ms) == ["upload", "predictor", "steps", "download"]


def test_growing_scratch_memory_recaptures_what_was_captured_over_the_old(
    bench: Bench, tiny: Bundle, photograph: Images
) -> None:
    table = table_of(tiny, SOLVER)
    small, large = (
        Request(photograph[None, :side, :side].copy(), table, 1, 0) for side in (32, 64)
    )
    first = bench.loop.run(small).images
    for request in (small, small, large, small, small):
        # The host driver refuses memory that was given back, as the old scratch was.
        result = bench.loop.run(request)
    np.testing.assert_array_equal(result.images, first)
    assert bench.driver.calls.count("end_capture") == 2


def test_a_stale_answer_is_an_error_and_the_next_call_is_right(
    bench: Bench, tiny: Bundle, images: Images
) -> None:
    table = table_of(tiny, SOLVER)
    requests = [Request(image[None], table, 1, 0) for image in images]
    expected = [bench.loop.run(request).images for request in requests]
    [graph] = bench.driver.graphs
    bench.driver.graphs[graph] = []  # a replay that does nothing leaves the last answer there
    with pytest.raises(EngineError, match="stale"):
        bench.loop.run(requests[0])
    for request, image in zip(requests, expected, strict=True):
        np.testing.assert_array_equal(bench.loop.run(request).images, image)


def test_values_that_are_not_finite_are_an_error_and_the_next_call_works(
    bench: Bench, tiny: Bundle, images: Images
) -> None:
    request = Request(images[:1], table_of(tiny, SOLVER), 1, 0)
    expected = bench.loop.run(request).images
    bench.networks.poison = True
    with pytest.raises(EngineError, match=r"NaN .*export\.check"):
        bench.loop.run(request)
    bench.networks.poison = False
    np.testing.assert_array_equal(bench.loop.run(request).images, expected)


@pytest.mark.parametrize("failing", ["predictor", "step", "upload", "launch_graph"])
def test_a_failure_in_the_middle_leaves_nothing_and_the_next_call_works(
    bench: Bench, tiny: Bundle, images: Images, failing: str
) -> None:
    request = Request(images[:1], table_of(tiny, SOLVER), 1, 0)
    expected = bench.loop.run(request).images
    bench.driver.failing.add(failing)
    with pytest.raises(EngineError, match=failing):
        bench.loop.run(request)
    assert all(not runner.open for runner in bench.networks.runners)
    bench.driver.failing.clear()
    np.testing.assert_array_equal(bench.loop.run(request).images, expected)


def test_out_of_memory_is_an_error_and_a_smaller_picture_still_works(
    bench: Bench, tiny: Bundle, photograph: Images
) -> None:
    table = table_of(tiny, SOLVER)
    bench.driver.capacity = 300_000
    large, small = (
        Request(photograph[None, :side, :side].copy(), table, 1, 0) for side in (64, 32)
    )
    assert not bench.loop.fits(large)
    assert bench.loop.fits(small)
    with pytest.raises(EngineError, match="--memory"):
        bench.loop.run(large)
    assert bench.loop.run(small).images.shape == (1, 32, 32, 3)


def test_a_size_outside_the_profile_is_an_error_and_does_not_fit(
    bench: Bench, tiny: Bundle
) -> None:
    request = Request(np.zeros((1, 80, 80, 3), np.uint8), table_of(tiny, SOLVER), 1, 0)
    assert not bench.loop.fits(request)
    with pytest.raises(EngineError, match=r"python -m export\.trt"):
        bench.loop.run(request)


def test_prewarming_captures_so_that_the_first_frame_is_a_replay(
    bench: Bench, tiny: Bundle, images: Images
) -> None:
    request = Request(images[:1], table_of(tiny, SOLVER), 1, 0)
    [verdict] = bench.loop.prewarm([request]).values()
    assert verdict == "graph, as asked for"
    assert bench.loop.run(request).stages_ms.keys() == {"graph"}


def test_a_frame_of_a_known_size_allocates_nothing_on_the_device(
    bench: Bench, tiny: Bundle, images: Images
) -> None:
    table = table_of(tiny, SOLVER)
    for image in images:
        bench.loop.run(Request(image[None], table, 1, 0))
    bench.driver.calls.clear()
    bench.loop.run(Request(images[:1], table, 1, 0))
    assert set(bench.driver.calls) == {"enter", "launch_graph", "synchronize"}


def test_single_networks_give_what_the_library_gives(
    bench: Bench, tiny: Bundle, images: Images
) -> None:
    rng = np.random.default_rng(1)
    fields = rng.normal(0.0, 0.5, (4, 2, 3, 32, 64)).astype(np.float32)
    z, y, noise, previous = fields
    row = table_of(tiny, ANCESTRAL).rows[0].astype(np.float32)
    [guess] = bench.networks.sessions["predictor"].run(None, {"y": y})
    values = {"z": z, "y": y, "noise": noise, "previous": previous, "row": row}
    expected = bench.networks.sessions["step"].run(None, values)
    for _ in range(3):
        np.testing.assert_allclose(bench.loop.predict(y), guess, atol=1e-6)
        stepped = bench.loop.step(z, y, noise, previous, row)
        for found, wanted in zip(stepped, expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_threads_take_turns_and_get_their_own_pictures(
    bench: Bench, tiny: Bundle, images: Images
) -> None:
    table = table_of(tiny, SOLVER)
    requests = [Request(image[None], table, 1, 0) for image in images] * 4
    expected = [bench.loop.run(request).images for request in requests[:3]] * 4
    with ThreadPoolExecutor(4) as pool:
        found = [result.images for result in pool.map(bench.loop.run, requests)]
    np.testing.assert_array_equal(np.stack(found), np.stack(expected))


def test_closing_gives_everything_back(bench: Bench, tiny: Bundle, images: Images) -> None:
    table = table_of(tiny, SOLVER)
    for _ in range(2):
        bench.loop.run(Request(images[:1], table, 1, 0))
    bench.loop.predict(np.zeros((1, 3, 32, 32), np.float32))
    bench.loop.close()
    assert not bench.driver.memory
    assert not bench.driver.graphs
    assert not bench.driver.events
