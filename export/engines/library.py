"""The one file that speaks to TensorRT: ``tensorrt`` 10.3 to 11.x and ``tensorrt-rtx``, one code.

Networks are strongly typed always: precision lives in the graph and no builder flag changes it.
Every name used here exists in all supported versions, but for those that :class:`Library` reaches
only for the library that has them; a test holds them against lists read from the real bindings.
"""

from __future__ import annotations

import importlib
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from export.engines.plan import MIB
from export.engines.progress import View
from runtime.errors import EngineError, OptionError
from runtime.plans.devices import PORTABLE_FROM_SM, Device
from runtime.plans.shapes import Options, Profile


@dataclass(frozen=True)
class Source:
    """Where a library comes from: its Python module and the extra that installs it."""

    module: str
    extra: str


SOURCES = {
    "tensorrt": Source("tensorrt", "trt"),
    "tensorrt-rtx": Source("tensorrt_rtx", "rtx"),
}
_NOISE = "CUDA driver version is insufficient"
_HINTS = {
    "workspace limit": "give more with --workspace, or leave it out",
    "Turing": "leave sm75 out of --target: it cannot run this graph",
    "out of memory": "give smaller sizes with --max, or fewer --samples",
}


@dataclass(frozen=True)
class Typed:
    """What the parsed network says of its own precision, before anything is built.

    ``outputs`` counts convolutions and matrix products by the data type that they compute;
    ``quantized`` those convolutions whose weights come out of a dequantization.
    """

    outputs: dict[str, int]
    quantized: int
    convolutions: dict[str, int]


@dataclass(frozen=True)
class Built:
    """One serialized engine and everything that was said about it.

    ``log`` holds the builder's messages of level info and graver; ``layers`` the engine's own
    layer information (JSON) and ``scratch_bytes`` its memory for each profile, where this machine
    can read the plan back.
    """

    plan: bytes
    log: tuple[str, ...]
    warnings: tuple[str, ...]
    typed: Typed
    seconds: float
    layers: str | None = None
    scratch_bytes: tuple[int, ...] | None = None
    timing_cache: bytes | None = None


@dataclass
class _Messages:
    """The builder's log: what it says and how grave it is (0 and 1 errors, 2 warnings, 3 info)."""

    entries: list[tuple[int, str]] = field(default_factory=list)

    def take(self, severity: int, message: str) -> None:
        if severity <= 3:
            self.entries.append((severity, message))

    def up_to(self, severity: int) -> tuple[str, ...]:
        return tuple(message for level, message in self.entries if level <= severity)

    def error(self, graph: str, library: str) -> EngineError:
        """The gravest thing said, in one line, with what to do."""
        errors = [_tidy(text) for text in self.up_to(1) if _NOISE not in text]
        said = errors[-1] if errors else _tidy((*self.up_to(1), "nothing about it")[0])
        advice = next((hint for key, hint in _HINTS.items() if key in said), None)
        return EngineError(
            f"{library} could not build {graph}; it said: {said}; "
            f"{advice or 'python -m export.doctor says what this machine can build'}"
        )


def installed() -> dict[str, str]:
    """The libraries that import here, with their versions; the preferred one first."""
    found = {}
    for name, source in SOURCES.items():
        if find_spec(source.module) is not None:
            try:
                found[name] = str(importlib.import_module(source.module).__version__)
            except (ImportError, OSError, AttributeError, RuntimeError):
                continue  # its shared libraries are missing: the name is there, the library not
    return found


def open_library(name: str | None, devices: Sequence[Device]) -> Library:
    """The library ``name``, or the installed one; ``tensorrt`` first where there is a GPU for it.

    Raises EngineError where it is not installed, OptionError for another name.
    """
    if name is not None and name not in SOURCES:
        raise OptionError(f"got library '{name}'; wanted is one of {', '.join(SOURCES)}")
    here = installed()
    if name is None:
        order = SOURCES if devices else reversed(SOURCES)
        name = next((known for known in order if known in here), None)
    if name is None or name not in here:
        wanted = "neither tensorrt nor tensorrt-rtx" if name is None else f"no working {name}"
        source = SOURCES[name or "tensorrt-rtx"]
        raise EngineError(
            f"{wanted} is installed; type: pip install 'dvsr-edge[{source.extra}]'"
            + ("" if source.extra == "rtx" else " (on a Jetson it comes with JetPack)")
        )
    return Library(name, importlib.import_module(SOURCES[name].module), tuple(devices))


class Library:
    """One imported TensorRT: what it can build on this machine, and building."""

    def __init__(self, name: str, trt: Any, devices: tuple[Device, ...]) -> None:
        self.name = name
        self.version = str(trt.__version__)
        self._trt = trt
        self._devices = devices

    @property
    def cross_builds(self) -> bool:
        """Whether engines are built for other GPUs, in seconds and without one."""
        return self.name == "tensorrt-rtx"

    @property
    def targets(self) -> tuple[int, ...]:
        """The compute capabilities that can be named; none for a library that cannot choose."""
        if not self.cross_builds:
            return ()
        trt = self._trt
        names = (re.fullmatch(r"SM(\d+)", name) for name in trt.ComputeCapability.__members__)
        return tuple(sorted(int(name[1]) for name in names if name))

    def device(self, targets: Sequence[int]) -> str:
        """What an engine runs on, as its identity names it."""
        if not self.cross_builds:
            return str(self._devices[0])
        return "+".join(f"sm{sm}" for sm in targets) or f"sm{PORTABLE_FROM_SM} and later"

    def check(self, options: Options, targets: Sequence[int], *, timing_cache: bool) -> None:
        """Refuse what this library or this machine cannot do; raises OptionError, EngineError."""
        if self.cross_builds:
            self._check_cross(options, targets, timing_cache=timing_cache)
        elif not self._devices:
            raise EngineError(
                "tensorrt builds on the GPU that the engine will run on, and there is none here; "
                "take --library tensorrt-rtx --target sm86 (or your GPU's), which needs none"
            )
        elif targets:
            raise OptionError(
                f"tensorrt builds for the GPU that it runs on ({self._devices[0]}) and takes no "
                "--target; leave it out, or take --library tensorrt-rtx"
            )

    def _check_cross(self, options: Options, targets: Sequence[int], *, timing_cache: bool) -> None:
        unknown = [sm for sm in targets if sm not in self.targets]
        if unknown:
            known = ",".join(f"sm{sm}" for sm in self.targets)
            raise OptionError(
                f"got target sm{unknown[0]}; {self.name} {self.version} builds for {known}"
            )
        refusals = {
            "--version-compatible": (
                options.version_compatible,
                "has no lean runtime to put into the plan; build again for each version",
            ),
            "--hardware-compatible": (
                options.hardware_compatible,
                "engines name their GPUs instead: give several with --target",
            ),
            "--timing-cache": (timing_cache, "keeps none: its builds take seconds; leave it out"),
            "--strip-weights": (
                options.strip_weights and not self._devices,
                "can leave weights out only where there is a GPU; leave it out or build there",
            ),
            "--refit": (
                options.refit and not self._devices,
                "can make an engine refittable only where there is a GPU; leave it out or build "
                "there",
            ),
        }
        for option, (asked, why) in refusals.items():
            if asked:
                raise OptionError(f"got {option}; {self.name} {why}")

    def runs_on(self, targets: Sequence[int]) -> bool:
        """Whether a GPU of this machine can read back an engine built for ``targets``."""
        if not self._devices:
            return False
        sm = self._devices[0].sm
        return not self.cross_builds or (sm in targets if targets else sm >= PORTABLE_FROM_SM)

    def build(
        self,
        graph: bytes,
        label: str,
        profiles: Sequence[Profile],
        options: Options,
        targets: Sequence[int],
        view: View,
        timing_cache: bytes | None = None,
    ) -> Built:
        """Build the ONNX model ``graph`` with one profile after another; ``label`` is its file.

        Takes from a second to, with ``tensorrt`` on a small device, an hour. Ctrl-C ends it at
        the builder's next step. Raises EngineError with what the builder said.
        """
        trt, messages = self._trt, _Messages()
        logger = self._logger(messages)
        began = time.monotonic()
        try:
            builder = trt.Builder(logger)
        except (TypeError, RuntimeError) as error:  # the binding's word for a null builder
            raise messages.error(label, self.name) from error
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(graph):
            raise messages.error(label, self.name)
        typed = self._typed(network)
        config = builder.create_builder_config()
        self._configure(config, options, targets)
        for profile in profiles:
            self._add_profile(builder, network, config, profile, messages, label)
        cache = self._use_cache(config, timing_cache, messages)
        with _interruptible() as interrupted:
            config.progress_monitor = self._monitor(view, interrupted)
            plan = builder.build_serialized_network(network, config)
            if interrupted():
                raise KeyboardInterrupt
        if plan is None:
            raise messages.error(label, self.name)
        data = bytes(plan)
        layers, scratch = self._read_back(data, len(profiles), targets, logger, label, messages)
        return Built(
            plan=data,
            log=messages.up_to(3),
            warnings=tuple(dict.fromkeys(_tidy(text) for text in messages.up_to(2))),
            typed=typed,
            seconds=time.monotonic() - began,
            layers=layers,
            scratch_bytes=scratch,
            timing_cache=None if cache is None else bytes(cache.serialize()),
        )

    def _logger(self, messages: _Messages) -> Any:
        trt = self._trt

        class Logger(trt.ILogger):  # type: ignore[misc,name-defined]  # the base is known at run time only
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                messages.take(int(severity), msg)

        return Logger()

    def _monitor(self, view: View, interrupted: Callable[[], bool]) -> Any:
        trt = self._trt

        class Monitor(trt.IProgressMonitor):  # type: ignore[misc,name-defined]  # as above
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
                view.start(phase_name, parent_phase, num_steps)

            def step_complete(self, phase_name: str, step: int) -> bool:
                view.step(phase_name, step)
                return not interrupted()

            def phase_finish(self, phase_name: str) -> None:
                view.finish(phase_name)

        return Monitor()

    def _typed(self, network: Any) -> Typed:
        """Count what the layers compute in; refuses a network that is not strongly typed."""
        trt = self._trt
        assert network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        outputs: Counter[str] = Counter()
        convolutions: Counter[str] = Counter()
        dequantized, quantized = set(), 0
        for index in range(network.num_layers):
            layer = network.get_layer(index)
            tensor = layer.get_output(0)
            if layer.type == trt.LayerType.DEQUANTIZE:
                dequantized.add(tensor.name)
            if layer.type in (trt.LayerType.CONVOLUTION, trt.LayerType.MATRIX_MULTIPLY):
                outputs[tensor.dtype.name] += 1
            if layer.type == trt.LayerType.CONVOLUTION:
                convolutions[tensor.dtype.name] += 1
                tensor = layer.get_input(0)
                quantized += tensor.name in dequantized
        return Typed(dict(outputs), quantized, dict(convolutions))

    def _configure(self, config: Any, options: Options, targets: Sequence[int]) -> None:
        trt = self._trt
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if options.workspace_mib is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * MIB)
        if options.optimization_level is not None:
            config.builder_optimization_level = options.optimization_level
        if not options.tf32:
            config.clear_flag(trt.BuilderFlag.TF32)  # on by default, and ten bits are not float32
        if options.version_compatible:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if options.strip_weights:
            config.set_flag(trt.BuilderFlag.STRIP_PLAN)
        if options.refit:
            config.set_flag(trt.BuilderFlag.REFIT)
        if options.hardware_compatible:
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        if self.cross_builds:
            # Without it the engine allocates while it runs, which no CUDA graph can record.
            config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
        if self.cross_builds and targets:
            config.num_compute_capabilities = len(targets)
            for index, sm in enumerate(targets):
                target = trt.ComputeCapability.__members__[f"SM{sm}"]
                if not config.set_compute_capability(target, index):
                    raise EngineError(f"{self.name} {self.version} refused the target sm{sm}")

    def _add_profile(
        self,
        builder: Any,
        network: Any,
        config: Any,
        shapes: Profile,
        messages: _Messages,
        label: str,
    ) -> None:
        profile = builder.create_optimization_profile()
        for index in range(network.num_inputs):
            tensor = network.get_input(index)
            if len(tensor.shape) == len(shapes.max):
                profile.set_shape(tensor.name, shapes.min, shapes.opt, shapes.max)
        if config.add_optimization_profile(profile) < 0:  # it raises nothing and only logs
            raise messages.error(f"{label} for {shapes}", self.name)

    def _use_cache(self, config: Any, earlier: bytes | None, messages: _Messages) -> Any:
        """Attach a timing cache; one of another GPU or version is replaced by an empty one."""
        if earlier is None:
            return None
        cache = config.create_timing_cache(earlier)
        if cache is None or not config.set_timing_cache(cache, False):
            messages.take(2, "the timing cache is of another GPU or version; it starts anew")
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, False)
        return cache

    def _read_back(
        self,
        plan: bytes,
        profiles: int,
        targets: Sequence[int],
        logger: Any,
        label: str,
        messages: _Messages,
    ) -> tuple[str | None, tuple[int, ...] | None]:
        """The engine's layer information and memory for each profile, where a GPU can read it."""
        if not self.runs_on(targets):
            return None, None
        trt = self._trt
        runtime = trt.Runtime(logger)
        # A version-compatible plan carries code of its own; this one was built a moment ago.
        runtime.engine_host_code_allowed = True
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise messages.error(f"an engine of {label} that it can read back", self.name)
        inspector = engine.create_engine_inspector()
        layers = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
        scratch = [engine.get_device_memory_size_for_profile_v2(k) for k in range(profiles)]
        return str(layers), tuple(int(size) for size in scratch)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Note Ctrl-C instead of raising it: an exception must not cross the builder's C++ frames."""
    seen = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield seen.is_set
        return
    before = signal.signal(signal.SIGINT, lambda *_: seen.set())
    try:
        yield seen.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _tidy(message: str) -> str:
    """The builder's message in one line, without the places in its source."""
    text = re.sub(r"\s+In \S+ at \S+?:\d+\)?", "", " ".join(message.split()))
    text = re.sub(r"\[\S+\.(?:cpp|h):\d+: \w+\]\s*", "", text)
    return text.rstrip(" .;")
