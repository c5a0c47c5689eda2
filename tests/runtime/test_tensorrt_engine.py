"""What of the TensorRT engine can be shown without a GPU: the way to it, and every way it ends."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

import runtime.engines.tensorrt as engine
from runtime.bundle import Bundle, open_bundle
from runtime.cuda.driver import CudaDriver
from runtime.engines.tensorrt import TensorRTEngine, TensorRTNetworks
from runtime.errors import EngineError, OptionError
from runtime.plans.devices import Device, cuda_devices
from runtime.plans.store import Plans

AMPERE = Device("an Ampere", 86, 2**33)

without_gpu = pytest.mark.skipif(bool(cuda_devices()), reason="there is a GPU here")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shipped bundle with real engines for sm86, built here."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    from export.engines.builder import build_engines
    from export.engines.library import open_library
    from export.engines.plan import BuildConfig
    from runtime.plans.shapes import Size, SizeRange

    target = tmp_path_factory.mktemp("built") / "bundle"
    shutil.copytree(open_bundle("tiny").directory, target)
    sizes = SizeRange(Size(64, 64), Size(64, 64), Size(128, 128))
    config = BuildConfig((sizes,), targets=(86,))
    library = open_library("tensorrt-rtx", ())
    build_engines(open_bundle(target), library, config, say=lambda _: None)
    return open_bundle(target)


@pytest.fixture
def with_ampere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "cuda_devices", lambda: (AMPERE,))


@without_gpu
def test_without_a_gpu_one_line_says_so_and_what_to_take() -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    with pytest.raises(EngineError, match=r"no CUDA device; .*nvidia-smi.*onnx-cpu") as caught:
        TensorRTEngine(open_bundle("tiny"), "tensorrt-rtx")
    assert "\n" not in str(caught.value)


@without_gpu
def test_the_driver_itself_says_so_too() -> None:
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    with pytest.raises(EngineError, match="nvidia-smi"):
        CudaDriver()


def test_importing_the_engine_loads_neither_tensorrt_nor_cuda() -> None:
    code = "import runtime.engines.tensorrt, sys; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert not {"tensorrt", "tensorrt_rtx", "cuda", "torch", "export"} & set(done.stdout.split())


def test_a_library_that_is_not_installed_says_how_to_get_it() -> None:
    if find_spec("tensorrt") is not None:
        pytest.skip("tensorrt is installed")
    with pytest.raises(EngineError, match=r"dvsr-edge\[trt\]"):
        TensorRTEngine(open_bundle("tiny"), "tensorrt")


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({"library": "cudnn"}, "tensorrt, tensorrt-rtx"), ({"graph": "yes"}, "auto, on, off")],
)
def test_an_unknown_option_names_the_known_ones(options: dict[str, str], wanted: str) -> None:
    with pytest.raises(OptionError, match=wanted):
        TensorRTEngine(open_bundle("tiny"), **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("with_ampere")
def test_a_bundle_without_engines_names_the_command_that_builds_them() -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    with pytest.raises(EngineError, match=r"python -m export\.trt .* --library tensorrt-rtx"):
        TensorRTEngine(open_bundle("tiny"), "tensorrt-rtx")


def test_real_engines_are_found_for_their_gpu(built: Bundle) -> None:
    version = pytest.importorskip("tensorrt_rtx").__version__
    plans = Plans(built)
    for graph in ("predictor", "step"):
        [card] = plans.runnable(graph, "tensorrt-rtx", version, AMPERE)
        assert len(plans.load(card.identity)) == card.plan.bytes


@without_gpu
def test_a_plan_that_the_library_cannot_read_is_an_error_with_the_rebuild_command(
    built: Bundle,
) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    plans = Plans(built)
    cards = {
        graph: plans.runnable(graph, "tensorrt-rtx", trt.__version__, AMPERE)
        for graph in ("predictor", "step")
    }
    with pytest.raises(EngineError, match=r"cannot read the plan .* --target sm86"):
        TensorRTNetworks(trt, plans, cards, driver=None)  # type: ignore[arg-type]
