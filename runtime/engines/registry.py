"""Which engines there are, what keeps each from running here, and which one "auto" takes.

"auto" takes the first of AUTO_ORDER that nothing keeps from running, decided before anything is
opened: an engine that fails to open is an error, never a reason to try the next. The order is by
speed: the whole loop on a GPU, its steps on a GPU, the CPU. Others must be named: onnx-tensorrt
builds for minutes at each new size; openvino may compute in bfloat16, so that pictures would differ
between machines; torch is the reference; fake is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from runtime.bundle import Bundle
from runtime.engines.protocol import Engine, lacks
from runtime.errors import EngineError, OptionError
from runtime.plans.devices import no_gpu

GraphMode = Literal["auto", "on", "off"]

AUTO_ORDER = ("tensorrt", "tensorrt-rtx", "onnx-cuda", "onnx-cpu")


@dataclass(frozen=True)
class Settings:
    """What a session hands to its engine: CUDA graphs or not, and the memory it may take."""

    graph: GraphMode = "auto"
    memory_mib: int | None = None


@dataclass(frozen=True)
class Kind:
    """One engine: ``obstacle`` says what keeps it from running here, or None.

    ``reluctance`` says why "auto" passes over it although it could run, or None.
    """

    open: Callable[[Bundle, Settings], Engine]
    obstacle: Callable[[Bundle], str | None]
    reluctance: Callable[[Bundle], str | None] = lambda _: None
    on_gpu: bool = False


def _tensorrt(library: Literal["tensorrt", "tensorrt-rtx"], module: str, extra: str) -> Kind:
    def open_it(bundle: Bundle, settings: Settings) -> Engine:
        from runtime.engines.tensorrt import TensorRTEngine

        return TensorRTEngine(
            bundle, library=library, graph=settings.graph, memory_mib=settings.memory_mib
        )

    return Kind(
        open_it,
        lambda _: lacks(module, extra) or lacks("cuda", extra) or no_gpu(),
        _no_plans,
        on_gpu=True,
    )


def _no_plans(bundle: Bundle) -> str | None:
    if any((bundle.directory / "engines").glob("*.plan")):
        return None
    return f"no engines are built in it; type: python -m export.trt {bundle.directory}"


def _open_onnx_cpu(bundle: Bundle, _: Settings) -> Engine:
    from runtime.engines.onnx import OnnxEngine

    return OnnxEngine(bundle)


def _onnx_gpu(provider: Literal["cuda", "tensorrt"]) -> Kind:
    def open_it(bundle: Bundle, settings: Settings) -> Engine:
        from runtime.engines.onnx_device import open_on_gpu

        return open_on_gpu(
            bundle, provider, graph=settings.graph == "on", memory_mib=settings.memory_mib
        )

    return Kind(open_it, lambda _: _no_provider(provider) or no_gpu(), on_gpu=True)


def _no_provider(provider: Literal["cuda", "tensorrt"]) -> str | None:
    missing = lacks("onnxruntime", "gpu")
    if missing is not None:
        return missing
    from runtime.engines.onnx_device import missing_provider

    return missing_provider(provider)


def _openvino(precision: Literal["fastest", "float32"]) -> Kind:
    def open_it(bundle: Bundle, _: Settings) -> Engine:
        from runtime.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(bundle, precision)

    return Kind(open_it, lambda _: lacks("openvino", "openvino"))


def _open_torch(bundle: Bundle, _: Settings) -> Engine:
    from runtime.engines.program import ProgramEngine

    return ProgramEngine(bundle)


def _no_program(bundle: Bundle) -> str | None:
    if bundle.manifest.programs is None:
        return (
            f"bundle '{bundle.manifest.name}' carries no exported programs; "
            "export it again with --with-torch"
        )
    return lacks("torch", "train")


def _open_fake(_: Bundle, __: Settings) -> Engine:
    from runtime.engines.fake import FakeEngine

    return FakeEngine()


ENGINES: dict[str, Kind] = {
    "fake": Kind(_open_fake, lambda _: None),
    "onnx-cpu": Kind(_open_onnx_cpu, lambda _: lacks("onnxruntime", "cpu")),
    "onnx-cuda": _onnx_gpu("cuda"),
    "onnx-tensorrt": _onnx_gpu("tensorrt"),
    "openvino": _openvino("fastest"),
    "openvino-fp32": _openvino("float32"),
    "tensorrt": _tensorrt("tensorrt", "tensorrt", "trt"),
    "tensorrt-rtx": _tensorrt("tensorrt-rtx", "tensorrt_rtx", "rtx"),
    "torch": Kind(_open_torch, _no_program),
}


def choose_engine(name: str, bundle: Bundle) -> tuple[str, str]:
    """The engine that ``name`` stands for in ENGINES, and why, in one line.

    Raises EngineError for a name that is none, for an engine that cannot run here, and where
    "auto" finds none that can.
    """
    if name == "auto":
        return _choose(bundle)
    if name not in ENGINES:
        raise EngineError(f"got engine '{name}'; wanted is auto or one of {', '.join(ENGINES)}")
    obstacle = ENGINES[name].obstacle(bundle)
    if obstacle is not None:
        raise EngineError(f"engine '{name}' cannot run: {obstacle}")
    return name, f"{name} was named"


def _choose(bundle: Bundle) -> tuple[str, str]:
    passed: list[str] = []
    for name in AUTO_ORDER:
        problem = ENGINES[name].obstacle(bundle) or ENGINES[name].reluctance(bundle)
        if problem is None:
            reasons = "".join(f"; not {entry}" for entry in passed)
            return name, f"auto took {name}, the fastest that can run here{reasons}"
        passed.append(f"{name}: {problem}")
    raise EngineError(
        f"no engine can run here; the simplest remedy is the last: {'; '.join(passed)}"
    )


def open_engine(
    name: str, bundle: Bundle, *, graph: GraphMode = "auto", memory_mib: int | None = None
) -> Engine:
    """Open engine ``name``, or the one "auto" stands for, for ``bundle``.

    ``graph`` says whether engines on a GPU record CUDA graphs: "on", "off", or "auto" where that
    pays. Raises EngineError for an unknown engine and for one that cannot run here, OptionError
    for another ``graph``.
    """
    if graph not in get_args(GraphMode):
        raise OptionError(f"got graph '{graph}'; wanted is one of {', '.join(get_args(GraphMode))}")
    chosen, _ = choose_engine(name, bundle)
    return ENGINES[chosen].open(bundle, Settings(graph, memory_mib))
