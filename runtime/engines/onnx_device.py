"""ONNX Runtime with all arrays on a device: state and residual stay there from step to step.

Each shape gets a set of arrays that is bound once and lent to one call at a time: per step only the
noise and seven numbers are uploaded. State and residual swap between two arrays, so there are two
bindings, and with CUDA graphs two graphs, for a graph replays the addresses it was recorded with.
"""

from __future__ import annotations

import importlib
import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle
from runtime.engines.onnx import CPU, open_graph
from runtime.engines.protocol import Clock, Engine, Noise, failure
from runtime.errors import EngineError
from runtime.samplers import COLUMNS, Table

Floats = NDArray[np.float32]
Shape = tuple[int, ...]

PROVIDERS = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}

_MIB = 2**20
_KEPT_SHAPES = 4
# ONNX Runtime never lets go of a recorded graph; further shapes run without one.
_MOST_GRAPHS = 16
_NO_GRAPH = -1


def missing_provider(provider: Literal["cuda", "tensorrt"]) -> str | None:
    """What to install where this ONNX Runtime was built without ``provider``, else None."""
    library = importlib.import_module("onnxruntime")
    there = library.get_available_providers()
    if PROVIDERS[provider] in there:
        return None
    return (
        f"this ONNX Runtime {library.__version__} has {', '.join(there)}, wanted is "
        f"{PROVIDERS[provider]}; type: pip uninstall onnxruntime && pip install 'dvsr-edge[gpu]'"
    )


def open_on_gpu(
    bundle: Bundle,
    provider: Literal["cuda", "tensorrt"],
    *,
    graph: bool = False,
    memory_mib: int | None = None,
) -> Engine:
    """``onnx-cuda`` or ``onnx-tensorrt``; raises EngineError where the provider does not start.

    ``graph`` records each step as a CUDA graph; ``memory_mib`` bounds ONNX Runtime's GPU memory.
    """
    library = importlib.import_module("onnxruntime")
    if hasattr(library, "preload_dlls"):
        library.preload_dlls()  # finds the CUDA libraries that pip installed
    cuda = (PROVIDERS["cuda"], _cuda_options(graph and provider == "cuda", memory_mib))
    first = [cuda]
    if provider == "tensorrt":
        first = [(PROVIDERS[provider], _tensorrt_options(bundle, graph)), cuda]
    name = f"onnx-{provider} (ONNX Runtime {library.__version__}, GPU 0)"
    return DeviceEngine(bundle, name, [*first, CPU], device="cuda", graph=graph)


def _cuda_options(graph: bool, memory_mib: int | None) -> dict[str, str]:
    options = {"device_id": "0", "arena_extend_strategy": "kSameAsRequested"}
    if graph:
        options["enable_cuda_graph"] = "1"
    if memory_mib is not None:
        options["gpu_mem_limit"] = str(memory_mib * _MIB // 2)  # two graphs, an arena each
    return options


def _tensorrt_options(bundle: Bundle, graph: bool) -> dict[str, str]:
    options = {"device_id": "0", "trt_cuda_graph_enable": "1" if graph else "0"}
    if os.access(bundle.directory, os.W_OK):
        cache = bundle.directory / "engines" / "onnxruntime"
        options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(cache)}
    return options


@dataclass
class _Arrays:
    """Device arrays of one shape, bound to both graphs; index 0 and 1 swap from step to step."""

    y: Any
    noise: Any
    row: Any
    guess: Any
    z: tuple[Any, Any]
    previous: tuple[Any, Any]
    predictor: Any = None
    steps: list[Any] = field(default_factory=list)
    graph_ids: tuple[int, int, int] = (_NO_GRAPH, _NO_GRAPH, _NO_GRAPH)


class DeviceEngine:
    """The two graphs of a bundle as ONNX Runtime sessions whose arrays live on ``device``.

    ``device`` is "cuda" or "cpu", and the first of ``providers`` must run on it.
    """

    def __init__(
        self, bundle: Bundle, name: str, providers: list[Any], *, device: str, graph: bool = False
    ) -> None:
        self._library = importlib.import_module("onnxruntime")
        self._name, self._device, self._graph = name, device, graph
        graphs = (bundle.manifest.predictor, bundle.manifest.step)
        self._predictor, self._step = (
            open_graph(self._library, bundle.path(entry.file), providers) for entry in graphs
        )
        self._free: OrderedDict[Shape, list[_Arrays]] = OrderedDict()
        self._lock = threading.Lock()
        # ONNX Runtime records and replays graphs of a session in one thread at a time.
        self._running = threading.Lock() if graph else nullcontext()
        self._next_id = itertools.count()

    @property
    def name(self) -> str:
        return self._name

    def predict(self, y: Floats) -> Floats:
        with self._running, self._lent(y) as arrays:
            arrays.y.update_inplace(y)
            self._run(self._predictor, arrays.predictor, arrays.graph_ids[0])
            return np.array(arrays.guess.numpy())

    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        with self._running, self._lent(z) as arrays:
            arrays.y.update_inplace(y)
            arrays.z[0].update_inplace(z)
            arrays.previous[0].update_inplace(previous)
            self._take_step(arrays, 0, noise, row)
            return np.array(arrays.z[1].numpy()), np.array(arrays.previous[1].numpy())

    def sample(self, table: Table, y: Floats, noise: Noise, clock: Clock) -> Floats:
        """What :func:`runtime.loop.sample_residual` computes, without leaving the device."""
        silent = np.zeros_like(y)
        adds_noise = table.column("noise") != 0.0
        with self._running, self._lent(y) as arrays:
            arrays.y.update_inplace(y)
            arrays.z[0].update_inplace(np.float32(table.start) * noise(0))
            arrays.previous[0].update_inplace(silent)
            for index, row in enumerate(table.rows.astype(np.float32)):
                fresh = noise(index + 1) if adds_noise[index] else silent
                with clock(f"step {index + 1}"):
                    self._take_step(arrays, index % 2, fresh, row)
            return np.array(arrays.z[table.steps % 2].numpy())

    def _take_step(self, arrays: _Arrays, parity: int, noise: Floats, row: Floats) -> None:
        arrays.noise.update_inplace(noise)
        arrays.row.update_inplace(row)
        self._run(self._step, arrays.steps[parity], arrays.graph_ids[1 + parity])

    def _run(self, session: Any, binding: Any, graph_id: int) -> None:
        options = self._library.RunOptions()
        if self._graph:
            options.add_run_config_entry("gpu_graph_id", str(graph_id))
        session.run_with_iobinding(binding, options)

    @contextmanager
    def _lent(self, like: Floats) -> Iterator[_Arrays]:
        """Arrays for the shape of ``like``, for one caller; what fails inside is an EngineError."""
        try:
            with self._lock:
                kept = self._free.get(like.shape)
                arrays = kept.pop() if kept else None
            arrays = arrays or self._bind(like.shape)
            yield arrays
        except EngineError:
            raise
        except Exception as error:  # memory, shapes and types all come as classes of their own
            raise failure("ONNX Runtime", error, {"y": like}) from error
        with self._lock:  # a set that a call failed with is not used again
            self._free.setdefault(like.shape, []).append(arrays)
            self._free.move_to_end(like.shape)
            while len(self._free) > _KEPT_SHAPES:
                self._free.popitem(last=False)

    def _bind(self, shape: Shape) -> _Arrays:
        y, noise, guess, *pairs = (self._array(shape) for _ in range(7))
        arrays = _Arrays(
            y=y,
            noise=noise,
            row=self._array((len(COLUMNS),)),
            guess=guess,
            z=(pairs[0], pairs[1]),
            previous=(pairs[2], pairs[3]),
        )
        arrays.predictor = self._bound(self._predictor, {"y": y}, {"guess": guess})
        for now, after in ((0, 1), (1, 0)):
            inputs = {"z": arrays.z[now], "y": y, "noise": noise}
            inputs |= {"previous": arrays.previous[now], "row": arrays.row}
            outputs = {"z_next": arrays.z[after], "residual": arrays.previous[after]}
            arrays.steps.append(self._bound(self._step, inputs, outputs))
        first = next(self._next_id) if self._graph else _MOST_GRAPHS
        if first < _MOST_GRAPHS:
            arrays.graph_ids = (first, 2 * first, 2 * first + 1)
        return arrays

    def _array(self, shape: Shape) -> Any:
        make = self._library.OrtValue.ortvalue_from_shape_and_type
        return make(list(shape), np.float32, self._device, 0)

    def _bound(self, session: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> Any:
        binding = session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in outputs.items():
            binding.bind_ortvalue_output(name, value)
        return binding
