"""TensorRT and TensorRT-RTX: engines from the bundle, and the whole loop on one stream.

One code for ``tensorrt`` 10.3 to 11.x and ``tensorrt-rtx``. Every name of theirs that is used here
exists in all of them, but for those reached only behind ``self._rtx``; a test holds the file
against lists read from the real bindings.
"""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle, Tensor
from runtime.cuda.driver import CudaDriver, Driver
from runtime.cuda.graphs import MODES, GraphMode
from runtime.cuda.loop import DeviceLoop
from runtime.cuda.networks import Runner, Shape
from runtime.engines import Request, Result, require
from runtime.errors import EngineError, OptionError
from runtime.plans.card import Card
from runtime.plans.devices import Device, cuda_devices
from runtime.plans.identity import pick_profile, rebuild_command
from runtime.plans.shapes import Size, graphs_of
from runtime.plans.store import Plans

Floats = NDArray[np.float32]
LibraryName = Literal["tensorrt", "tensorrt-rtx"]

_EXTRAS = {"tensorrt": "trt", "tensorrt-rtx": "rtx"}
_MESSAGES_KEPT = 8


class TensorRTEngine:
    """The two networks of a bundle as TensorRT engines; a :class:`runtime.engines.LoopEngine`.

    Takes engines from the bundle's ``engines`` directory that ``python -m export.trt`` built for
    this GPU, this version of ``library`` and these graphs; another one is never loaded.
    ``graph`` runs the loop as a CUDA graph: "on", "off", or "auto", which measures.
    ``memory_mib`` bounds device memory beside the weights (None: most of what is free). Raises
    OptionError and EngineError, naming what differs and the command that builds what is missing.
    """

    def __init__(
        self,
        bundle: Bundle,
        library: LibraryName = "tensorrt",
        graph: GraphMode = "auto",
        memory_mib: int | None = None,
    ) -> None:
        if library not in _EXTRAS:
            raise OptionError(f"got library '{library}'; wanted is one of {', '.join(_EXTRAS)}")
        if graph not in MODES:
            raise OptionError(f"got graph '{graph}'; wanted is one of {', '.join(MODES)}")
        trt = _import(library)
        device = _first_device(library)
        version = str(trt.__version__)
        plans = Plans(bundle)
        cards = {
            name: plans.runnable(name, library, version, device)
            for name in graphs_of(bundle.manifest)
        }
        precision = bundle.manifest.precision
        self._name = f"{library} {version} ({device.name}, {precision}, graph {graph})"
        driver = CudaDriver()
        try:
            networks = TensorRTNetworks(trt, plans, cards, driver)
            self._loop = DeviceLoop(driver, networks, precision, graph=graph, memory_mib=memory_mib)
        except BaseException:
            driver.close()
            raise
        # Device memory must not outlive an engine that nobody closed. At the program's end it
        # goes anyway, and CUDA may be gone before.
        self._close = weakref.finalize(self, self._loop.close)
        self._close.atexit = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def cuda_device(self) -> int:
        return self._loop.cuda_device

    @property
    def verdicts(self) -> dict[str, str]:
        """For each size kept on the device, why it runs as a graph or not."""
        return self._loop.verdicts

    def predict(self, y: Floats) -> Floats:
        return self._loop.predict(y)

    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        return self._loop.step(z, y, noise, previous, row)

    def run(self, request: Request) -> Result:
        return self._loop.run(request)

    def fits(self, request: Request) -> bool:
        return self._loop.fits(request)

    def prewarm(self, requests: Sequence[Request]) -> dict[str, str]:
        """Have everything compiled and captured for ``requests``; see :class:`DeviceLoop`."""
        return self._loop.prewarm(requests)

    def close(self) -> None:
        """Give the device's memory back; calls after this one raise EngineError."""
        self._close()


@dataclass(frozen=True)
class _Choice:
    """The engine and the profile that serve a shape."""

    card: Card
    profile: int


class TensorRTNetworks:
    """Engines that fit this machine, read when a shape first needs them; a context for each shape.

    ``cards`` are those of "predictor" and "step", at least one each. One of each is read at once,
    so that a plan that this machine refuses is found before the first picture.
    """

    def __init__(
        self, trt: Any, plans: Plans, cards: Mapping[str, Sequence[Card]], driver: Driver
    ) -> None:
        self._trt = trt
        self._plans = plans
        self._driver = driver
        self._messages: list[str] = []
        self._runtime = trt.Runtime(self._logger())
        self._engines: dict[str, Any] = {}
        # The one that serves the largest pictures comes first: its range is what errors name.
        self._cards = {
            name: sorted(several, key=_reach, reverse=True) for name, several in cards.items()
        }
        for several in self._cards.values():
            self._engine(several[0])

    def check(self, graph: str, shape: Shape) -> None:
        self._choose(graph, shape)

    def scratch_bytes(self, graph: str, shape: Shape) -> int:
        # Scratch memory holds activations, which grow with the pixels of the batch.
        choice = self._choose(graph, shape)
        largest = choice.card.identity.profiles[choice.profile].max
        share = int(np.prod(shape)) / int(np.prod(largest))
        return int(choice.card.memory.scratch[choice.profile] * share)

    def open(self, graph: str, shape: Shape) -> Runner:
        choice = self._choose(graph, shape)
        engine = self._engine(choice.card)
        context = self._context(engine)
        if context is None:
            raise self.failure(f"cannot make a context of the {graph}")
        if not context.set_optimization_profile_async(choice.profile, self._driver.stream):
            raise self.failure(f"refuses profile {choice.profile} of the {graph}")
        self._driver.synchronize()
        for given in self._graph(graph).inputs:
            if not context.set_input_shape(given.name, _shape_of(given, shape)):
                raise self.failure(f"refuses {given.name} {shape} of the {graph}")
        scratch = int(context.update_device_memory_size_for_shapes())
        return _TensorRTRunner(self, context, graph, scratch)

    def close(self) -> None:
        self._engines.clear()
        self._runtime = None

    @property
    def rtx(self) -> bool:
        """Whether this is TensorRT-RTX, which compiles its kernels here and now."""
        trt = self._trt
        return str(trt.__name__) == "tensorrt_rtx"

    @property
    def stream(self) -> int:
        """The stream that all work goes to."""
        return self._driver.stream

    def failure(self, what: str, command: str | None = None) -> EngineError:
        """The error for what the library refused, with what it said last and what to do."""
        said = self._messages[-1] if self._messages else "nothing about it"
        advice = f"build it again: {command}" if command else "python -m export.check finds where"
        return EngineError(f"TensorRT {what}; it said: {said}; {advice}")

    def _choose(self, graph: str, shape: Shape) -> _Choice:
        bundle = self._plans.bundle
        multiple_px = bundle.manifest.size_multiple_px
        size, batch = Size(shape[3], shape[2]), shape[0]
        serving: list[tuple[int, _Choice]] = []
        refusal: EngineError | None = None
        for card in self._cards[graph]:
            identity = card.identity
            try:
                index = pick_profile(str(bundle.directory), identity, size, batch, multiple_px)
            except EngineError as error:
                refusal = refusal or error
                continue
            distance = abs(identity.profiles[index].sizes.opt.pixels - size.pixels)
            serving.append((distance, _Choice(card, index)))
        if not serving:
            assert refusal is not None
            raise refusal
        return min(serving, key=lambda entry: entry[0])[1]

    def _engine(self, card: Card) -> Any:
        if card.file not in self._engines:
            self._engines[card.file] = self._read(card)
        return self._engines[card.file]

    def _read(self, card: Card) -> Any:
        identity = card.identity
        trt, runtime = self._trt, self._runtime
        # Such a plan carries code of its own; TensorRT asks that it be allowed.
        runtime.engine_host_code_allowed = identity.options.version_compatible
        engine = runtime.deserialize_cuda_engine(self._plans.load(identity))
        command = rebuild_command(str(self._plans.bundle.directory), identity)
        if engine is None:
            raise self.failure(f"cannot read the plan of the {identity.graph}", command)
        found = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        graph = self._graph(identity.graph)
        wanted = {given.name for given in (*graph.inputs, *graph.outputs)}
        floats = trt.DataType.FLOAT
        if found != wanted or any(engine.get_tensor_dtype(name) != floats for name in found):
            raise self.failure(
                f"has a plan of the {identity.graph} with {', '.join(sorted(found))}; wanted are "
                f"{', '.join(sorted(wanted))}, all float32",
                command,
            )
        return engine

    def _context(self, engine: Any) -> Any:
        """A context without memory of its own: all of them share one block."""
        trt = self._trt
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if not self.rtx:
            return engine.create_execution_context(strategy)
        settings = engine.create_runtime_config()
        settings.set_execution_context_allocation_strategy(strategy)
        # Kernels made for the very shape, and before the first run returns: a graph captured
        # while they are still being made would keep the slower ones for good.
        eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        settings.dynamic_shapes_kernel_specialization_strategy = eager
        return engine.create_execution_context(settings)

    def _graph(self, name: str) -> Any:
        return graphs_of(self._plans.bundle.manifest)[name]

    def _logger(self) -> Any:
        trt, messages = self._trt, self._messages

        class Logger(trt.ILogger):  # type: ignore[misc,name-defined]  # known at run time only
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                if int(severity) <= 1:
                    messages.append(" ".join(msg.split()))
                    del messages[:-_MESSAGES_KEPT]

        return Logger()


class _TensorRTRunner:
    """One execution context at one shape; a :class:`runtime.cuda.networks.Runner`."""

    def __init__(
        self, networks: TensorRTNetworks, context: Any, graph: str, scratch_bytes: int
    ) -> None:
        self._networks = networks
        self._context = context
        self._graph = graph
        self._scratch_bytes = scratch_bytes

    @property
    def scratch_bytes(self) -> int:
        return self._scratch_bytes

    @property
    def capturable(self) -> bool:
        context, networks = self._context, self._networks
        return not networks.rtx or bool(context.is_stream_capturable(networks.stream))

    def use_scratch(self, address: int, size: int) -> None:
        context = self._context
        if size:
            context.set_device_memory(address, size)

    def bind(self, addresses: Mapping[str, int]) -> None:
        context = self._context
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                raise self._networks.failure(f"refuses an address for {name} of the {self._graph}")

    def enqueue(self) -> None:
        context = self._context
        if not context.execute_async_v3(self._networks.stream):
            raise self._networks.failure(f"refused to run the {self._graph}")

    def close(self) -> None:
        self._context = None


def _import(library: str) -> Any:
    extra = _EXTRAS[library]
    module = library.replace("-", "_")
    require(module, extra)
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise EngineError(
            f"{library} is installed but does not load: {error}; type: "
            f"pip install 'dvsr-edge[{extra}]'"
        ) from error


def _first_device(library: str) -> Device:
    devices = cuda_devices()
    if not devices:
        raise EngineError(
            f"{library} needs an NVIDIA GPU and this machine shows no CUDA device; check the "
            "driver with nvidia-smi, or take an engine that needs none, such as onnx-cpu"
        )
    return devices[0]


def _reach(card: Card) -> int:
    """How many pixels the largest batch of an engine has."""
    return max(int(np.prod(shapes.max)) for shapes in card.identity.profiles)


def _shape_of(given: Tensor, pictures: Shape) -> Shape:
    """The shape of one input: the pictures', or its own where it is no picture."""
    if len(given.shape) == len(pictures):
        return pictures
    return tuple(int(side) for side in given.shape)
