"""The calls that the TensorRT engine makes, in their order, to a library that writes them down.

The names and arguments of the real libraries are held by tests/export/engines/test_library_names.
"""

from __future__ import annotations

import ctypes
import gc
import shutil
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from host_driver import HostDriver, HostNetworks, HostRunner, sessions_of
from numpy.typing import NDArray

import runtime.engines.tensorrt as engine_file
from runtime.bundle import Bundle, FileEntry, open_bundle, sha256
from runtime.engines import Request
from runtime.engines.tensorrt import TensorRTEngine
from runtime.errors import EngineError
from runtime.files import to_json
from runtime.plans.card import CARD_FORMAT, Card, Memory, Proof
from runtime.plans.devices import Device
from runtime.plans.identity import Identity
from runtime.plans.shapes import Options, Profile, graphs_of
from runtime.plans.store import Plans
from runtime.samplers import SamplerConfig, compile_table
from runtime.session import Session

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

GPU = Device("an Ampere", 86, 2**33)
SMALL = Profile((1, 3, 32, 32), (1, 3, 32, 32), (1, 3, 64, 64))
LARGE = Profile((1, 3, 96, 96), (1, 3, 128, 128), (1, 3, 128, 128))


class Context:
    """An execution context that keeps the order it must be used in."""

    def __init__(self, library: Library, graph: str, strategy: object) -> None:
        assert strategy == "user managed"
        self.library, self.graph, self.runner = (
            library,
            graph,
            HostRunner(library.networks, graph, (1, 3, 32, 32)),
        )
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.profile = -1

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        assert stream == self.library.driver.stream
        self.profile = index
        return self.library.says("profile")

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return self.library.says("shape")

    def update_device_memory_size_for_shapes(self) -> int:
        given = {entry.name for entry in self.library.networks.sessions[self.graph].get_inputs()}
        assert given == set(self.shapes), "every input has its shape before the size is asked for"
        shape = next(iter(self.shapes.values()))
        self.runner = HostRunner(self.library.networks, self.graph, shape)
        self.library.chosen.append((self.graph, shape[2:], self.profile))
        return self.runner.scratch_bytes

    def set_device_memory(self, memory: int, size: int) -> None:
        self.runner.use_scratch(memory, size)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.runner.bind({name: memory})
        return self.library.says("address")

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle == self.library.driver.stream
        if not self.library.says("execute"):
            return False
        self.runner.enqueue()
        return True

    def is_stream_capturable(self, stream: int) -> bool:
        return self.library.says("capturable")


class Library(ModuleType):
    """Stands for the module ``tensorrt`` or ``tensorrt_rtx``."""

    __version__ = "1.7.1.116"

    def __init__(self, name: str, driver: HostDriver, networks: HostNetworks) -> None:
        super().__init__(name)
        self.driver, self.networks = driver, networks
        self.refusing: str | None = None
        self.chosen: list[tuple[str, tuple[int, ...], int]] = []
        self.log: Any = None
        self.ILogger = type("ILogger", (), {"__init__": lambda self: None})
        self.DataType = SimpleNamespace(FLOAT="float")
        self.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="user managed")
        self.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")

    def says(self, question: str) -> bool:
        if question == self.refusing:
            self.log.log(1, f"no {question}\n today")
        return question != self.refusing

    def Runtime(self, logger: Any) -> Any:  # noqa: N802  # the library's own name
        self.log = logger
        return SimpleNamespace(deserialize_cuda_engine=self._read)

    def _read(self, plan: bytes) -> Any:
        graph = plan.decode()
        if not self.says("plan"):
            return None
        session = self.networks.sessions[graph]
        names = [entry.name for entry in (*session.get_inputs(), *session.get_outputs())]
        return SimpleNamespace(
            num_io_tensors=len(names),
            get_tensor_name=names.__getitem__,
            get_tensor_dtype=lambda name: "half" if self.refusing == name else "float",
            create_runtime_config=self._settings,
            create_execution_context=lambda given: Context(
                self, graph, given if isinstance(given, str) else given.strategy
            ),
        )

    def _settings(self) -> Any:
        assert self.__name__ == "tensorrt_rtx"
        settings = SimpleNamespace()
        settings.set_execution_context_allocation_strategy = lambda strategy: setattr(
            settings, "strategy", strategy
        )
        return settings


@pytest.fixture(scope="module")
def sessions(tiny: Bundle) -> dict[str, Any]:
    return sessions_of(tiny)


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
def library(
    request: pytest.FixtureRequest,
    host_kernels: ctypes.CDLL,
    sessions: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Library:
    driver = HostDriver(host_kernels)
    library = Library(request.param.replace("-", "_"), driver, HostNetworks(driver, sessions))
    monkeypatch.setattr(engine_file, "_import", lambda name: library)
    monkeypatch.setattr(engine_file, "cuda_devices", lambda: (GPU,))
    monkeypatch.setattr(engine_file, "CudaDriver", lambda: driver)
    return library


@pytest.fixture
def bundle(library: Library, tmp_path: Path) -> Bundle:
    """The shipped bundle with a plan of each graph that holds the graph's name."""
    bundle = open_bundle(shutil.copytree(open_bundle("tiny").directory, tmp_path / "bundle"))
    directory = Plans(bundle).directory
    directory.mkdir()
    for name, graph in graphs_of(bundle.manifest).items():
        identity = Identity(
            graph=name,
            graph_sha256=bundle.manifest.files[graph.file].sha256,
            library=library.__name__.replace("_", "-"),
            library_version=library.__version__,
            device=str(GPU),
            targets=() if library.__name__ == "tensorrt" else (86,),
            precision=bundle.manifest.precision,
            profiles=(SMALL, LARGE),
            options=Options(),
        )
        plan = name.encode()
        memory, proof = Memory((16384, 65536), (1, 1), 1, 0), Proof("", {}, 0, 0, 0, 0, None)
        card = Card(CARD_FORMAT, identity, FileEntry(len(plan), sha256(plan)), memory, proof, 1.0)
        (directory / card.file).write_bytes(plan)
        (directory / card.file).with_suffix(".json").write_bytes(to_json(card))
    return bundle


def open_it(bundle: Bundle, library: Library, **options: Any) -> TensorRTEngine:
    name: Any = library.__name__.replace("_", "-")
    return TensorRTEngine(bundle, name, **options)


def request_of(bundle: Bundle, image: NDArray[np.uint8], steps: int = 2) -> Request:
    config = SamplerConfig("dpm++2m", "log-snr", steps)
    return Request(image[None], compile_table(config, bundle.manifest.prediction), 1, 0)


def test_the_engine_gives_the_sessions_picture_as_single_calls_and_as_a_graph(
    library: Library, bundle: Bundle, photograph: NDArray[np.uint8]
) -> None:
    engine = open_it(bundle, library, graph="on")
    image = photograph[40:72, 180:212].copy()
    with Session(bundle.directory, engine="onnx-cpu") as session:
        expected = session.deblur(image, steps=0)
    for stages in (3, 1, 1):
        result = engine.run(request_of(bundle, image, steps=0))
        np.testing.assert_array_equal(result.images[0], expected)
        assert len(result.stages_ms) >= stages
    assert engine.name.startswith(library.__name__.replace("_", "-"))


def test_the_profile_is_chosen_by_the_size(
    library: Library, bundle: Bundle, photograph: NDArray[np.uint8]
) -> None:
    engine = open_it(bundle, library)
    for side in (32, 128):
        request = request_of(bundle, photograph[:side, :side].copy())
        assert engine.fits(request)
        engine.run(request)
    sizes = [(32, 0), (128, 1)]
    expected = [(g, (side, side), k) for side, k in sizes for g in ("predictor", "step")]
    assert library.chosen == expected


def test_a_size_between_the_profiles_names_the_range_and_the_rebuild_command(
    library: Library, bundle: Bundle
) -> None:
    engine = open_it(bundle, library)
    request = request_of(bundle, np.zeros((160, 160, 3), np.uint8))
    assert not engine.fits(request)
    with pytest.raises(EngineError, match=r"takes 32x32 .* --max 160x160"):
        engine.run(request)


@pytest.mark.parametrize("question", ["profile", "shape", "address", "execute"])
def test_a_refusal_is_an_error_with_the_librarys_words_and_the_next_call_works(
    library: Library, bundle: Bundle, question: str
) -> None:
    engine = open_it(bundle, library)
    request = request_of(bundle, np.zeros((32, 32, 3), np.uint8))
    library.refusing = question
    with pytest.raises(EngineError, match=f"it said: no {question} today"):
        engine.run(request)
    library.refusing = None
    assert engine.run(request).images.shape == (1, 32, 32, 3)


@pytest.mark.parametrize(("question", "said"), [("plan", "cannot read"), ("row", "all float32")])
def test_a_plan_that_is_not_what_the_manifest_says_is_refused_when_it_is_opened(
    library: Library, bundle: Bundle, question: str, said: str
) -> None:
    library.refusing = question
    with pytest.raises(EngineError, match=rf"{said}.*build it again: python -m export\.trt"):
        open_it(bundle, library)
    assert library.driver.calls[-1] == "close"


def test_work_that_cannot_be_captured_runs_without_a_graph_and_says_so(
    library: Library, bundle: Bundle
) -> None:
    if library.__name__ == "tensorrt":
        pytest.skip("only tensorrt-rtx can be asked")
    engine = open_it(bundle, library)
    request = request_of(bundle, np.zeros((32, 32, 3), np.uint8))
    library.refusing = "capturable"
    [verdict] = engine.prewarm([request]).values()
    assert verdict.startswith("no graph: the library says")
    assert list(engine.run(request).stages_ms) == ["upload", "predictor", "steps", "download"]


def test_closing_gives_the_device_back(library: Library, bundle: Bundle) -> None:
    engine = open_it(bundle, library)
    engine.predict(np.zeros((1, 3, 32, 32), np.float32))
    for _ in range(2):
        engine.close()
    assert not library.driver.memory
    assert library.driver.calls[-1] == "close"
    with pytest.raises(EngineError, match="closed; open another"):
        engine.predict(np.zeros((1, 3, 32, 32), np.float32))


def test_an_engine_that_nobody_closed_gives_the_device_back_when_it_goes(
    library: Library, bundle: Bundle
) -> None:
    engine = open_it(bundle, library)
    engine.predict(np.zeros((1, 3, 32, 32), np.float32))
    del engine
    gc.collect()
    assert not library.driver.memory
