"""``python -m export.doctor``: what this machine can export, build and run, and what is missing."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from export.engines.library import SOURCES, Library, installed, open_library
from runtime.bundle import Bundle, open_bundle
from runtime.command import Parser
from runtime.engines import ENGINES
from runtime.errors import DvsrError
from runtime.plans.devices import Device, cuda_devices
from runtime.plans.shapes import Options, Profile
from runtime.version import __version__

# Distribution, what it is for, and the extra of this package that brings it.
_PACKAGES = (
    ("torch", "reading checkpoints and tracing them", "export"),
    ("onnx", "ONNX graphs", "export"),
    ("onnxscript", "torch's ONNX exporter", "export"),
    ("filelock", "one build at a time", "export"),
    ("polygraphy", "saving runs that another machine repeats", "export"),
    ("tritonclient", "Triton model repositories", "triton"),
    ("onnxruntime", "checking and running graphs on the CPU", "cpu"),
    ("onnxruntime-gpu", "running graphs on the GPU", "gpu"),
)
_OTHERS = {"onnxruntime": "onnxruntime-gpu", "onnxruntime-gpu": "onnxruntime"}
_JETSON = Path("/etc/nv_tegra_release")
_PROBE_PX = 16
_PROBE_PROFILE = Profile(*[(1, 3, _PROBE_PX, _PROBE_PX)] * 3)


class _Silent:
    """A probe takes less than a second: there is no progress to show."""

    def start(self, phase: str, parent: str | None, steps: int) -> None: ...

    def step(self, phase: str, step: int) -> None: ...

    def finish(self, phase: str) -> None: ...


def diagnose(devices: tuple[Device, ...]) -> Iterator[str]:
    """The answer, line by line; asks the libraries themselves, by building a tiny graph."""
    yield f"dvsr-edge {__version__}, Python {platform.python_version()}, {_machine()}"
    yield from _gpus(devices)
    for name, purpose, extra in _PACKAGES:
        yield _package(name, purpose, extra)
    if find_spec("onnxruntime") and all(_version(name) for name in _OTHERS):
        yield (
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other: "
            "pip uninstall onnxruntime onnxruntime-gpu, then install one of the two"
        )
    for name in SOURCES:
        yield from _library(name, devices)
    yield from _engines(open_bundle())


def _engines(bundle: Bundle) -> Iterator[str]:
    """Which engines of the runtime can run ``bundle`` here, and what keeps the others from it."""
    for name, kind in ENGINES.items():
        if name != "fake":
            problem = kind.obstacle(bundle) or kind.reluctance(bundle)
            yield f"engine {name}: {problem or 'can run here'}"


def _machine() -> str:
    jetson = " (Jetson)" if _JETSON.exists() else ""
    return f"{platform.system()} {platform.machine()}{jetson}"


def _gpus(devices: tuple[Device, ...]) -> Iterator[str]:
    if not devices:
        yield "GPU: none that the CUDA driver shows; engines can be built here but not run"
    for device in devices:
        yield f"GPU: {device}, {device.memory_bytes / 2**30:.1f} GiB"


def _package(name: str, purpose: str, extra: str) -> str:
    found = _version(name)
    if found:
        return f"{name} {found}: {purpose}"
    if (other := _OTHERS.get(name)) and _version(other):
        return f"{name}: not installed, and not to be beside {other}"
    return f"{name}: missing ({purpose}); type: pip install 'dvsr-edge[{extra}]'"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _library(name: str, devices: tuple[Device, ...]) -> Iterator[str]:
    source = SOURCES[name]
    if name not in installed():
        state = (
            "does not import: its libraries are missing" if find_spec(source.module) else "missing"
        )
        yield f"{name}: {state}; type: {_install_command(name)}"
        return
    library = open_library(name, devices)
    if not library.cross_builds and not devices:
        yield f"{name} {library.version}: builds only where there is a GPU, and there is none"
        return
    yield f"{name} {library.version}: {_precisions(library, ())} for {library.device(())}"
    for sm in library.targets:
        here = "; this machine's GPU" if devices and devices[0].sm == sm else ""
        yield f"  --target sm{sm}: {_precisions(library, (sm,))}{here}"


def _install_command(name: str) -> str:
    if name == "tensorrt" and _JETSON.exists():
        return "sudo apt-get install nvidia-jetpack"
    return f"pip install 'dvsr-edge[{SOURCES[name].extra}]'"


def _precisions(library: Library, targets: tuple[int, ...]) -> str:
    """The precisions in which layers of the networks' kind build for ``targets``."""
    if find_spec("onnx") is None:
        return "cannot be tried without onnx"
    built = []
    for precision in ("float32", "float16"):
        try:
            library.build(
                _probe(precision), "a probe", (_PROBE_PROFILE,), Options(), targets, _Silent()
            )
        except DvsrError:
            continue
        built.append(precision)
    return f"builds {' and '.join(built)}" if built else "builds nothing here"


def _probe(precision: str) -> bytes:
    """What the step graph is made of, in little: a convolution, and a float32 level embedding."""
    onnx = importlib.import_module("onnx")
    np = importlib.import_module("numpy")
    helper, stored = onnx.helper, onnx.numpy_helper.from_array
    element = helper.np_dtype_to_tensor_dtype(np.dtype(precision))
    picture = ["batch", 3, "rows", "columns"]
    x, y = (helper.make_tensor_value_info(name, element, picture) for name in "xy")
    level = helper.make_tensor_value_info("level", onnx.TensorProto.FLOAT, [1, 16])
    weights = [
        stored(np.ones((3, 3, 3, 3), precision), "weights"),
        stored(np.ones((16, 3), np.float32), "matrix"),
        stored(np.array([1, 3, 1, 1], np.int64), "shape"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "weights"], ["convolved"], pads=[1, 1, 1, 1]),
        helper.make_node("MatMul", ["level", "matrix"], ["features"]),
        helper.make_node("Reshape", ["features", "shape"], ["per_channel"]),
        helper.make_node("Cast", ["per_channel"], ["typed"], to=element),
        helper.make_node("Add", ["convolved", "typed"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "probe", [x, level], [y], weights)
    opset = helper.make_opsetid("", 18)
    data: bytes = helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString()
    return data


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0 on any machine."""
    Parser(prog="python -m export.doctor", description=__doc__).parse_args(argv)
    for line in diagnose(cuda_devices()):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
