"""OpenVINO on the CPU: bfloat16 where the processor computes in it, else float32.

The networks run in bfloat16; OpenVINO keeps what follows the last convolution, the update of the
state, in float32. Graphs are compiled for each shape, since that runs faster than one compiled for
all shapes, and the latest few are kept.
"""

from __future__ import annotations

import importlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle, Graph
from runtime.engines.protocol import failure, require
from runtime.engines.two_graphs import TwoGraphs
from runtime.errors import EngineError
from runtime.samplers import COLUMNS

Floats = NDArray[np.float32]
Shape = tuple[int, ...]

_KEPT_SHAPES = 4


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16; wants OpenVINO installed."""
    core = importlib.import_module("openvino").Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@dataclass
class _Compiled:
    """One graph for one shape; a request serves one caller at a time."""

    model: Any
    free: list[Any] = field(default_factory=list)


class OpenVinoEngine(TwoGraphs):
    """The two graphs of a bundle on OpenVINO's CPU device.

    ``precision`` "fastest" is bfloat16 where the processor has it; "float32" computes in that
    everywhere. The first call at a shape compiles, which takes about half a second for each graph.
    """

    def __init__(self, bundle: Bundle, precision: Literal["fastest", "float32"]) -> None:
        require("openvino", "openvino")
        self._library = importlib.import_module("openvino")
        self._core = self._library.Core()
        self._bf16 = precision == "fastest" and has_bfloat16()
        graphs = (bundle.manifest.predictor, bundle.manifest.step)
        super().__init__(*(self._read(bundle, graph) for graph in graphs))
        self._kept: OrderedDict[tuple[int, Shape], _Compiled] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def precision(self) -> str:
        """What the networks compute in: "bfloat16" or "float32"."""
        return "bfloat16" if self._bf16 else "float32"

    @property
    def name(self) -> str:
        version = self._library.__version__.partition("-")[0]
        return f"openvino (OpenVINO {version}, CPU, {self.precision})"

    def _read(self, bundle: Bundle, graph: Graph) -> Any:
        path = bundle.path(graph.file)
        try:
            return self._core.read_model(str(path))
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot open {path}: {error}; export it again") from error

    def _run(self, graph: Any, inputs: dict[str, Floats]) -> list[Floats]:
        try:
            compiled = self._compiled(graph, inputs["y"].shape)
            request = self._request(compiled)
            # The inputs outlive the call; the outputs belong to the request, which is used again.
            outputs = request.infer(inputs, share_inputs=True, share_outputs=False)
            values = [outputs[index] for index in range(len(outputs))]
        except (
            Exception
        ) as error:  # OpenVINO raises RuntimeError, ValueError, TypeError, MemoryError
            raise failure("OpenVINO", error, inputs) from error
        with self._lock:  # a request that failed is not used again
            compiled.free.append(request)
        return values

    def _request(self, compiled: _Compiled) -> Any:
        with self._lock:
            if compiled.free:
                return compiled.free.pop()
        return compiled.model.create_infer_request()

    def _compiled(self, graph: Any, shape: Shape) -> _Compiled:
        key = (id(graph), shape)
        with self._lock:  # a second thread with the same shape waits for the first's work
            if key not in self._kept:
                self._kept[key] = _Compiled(self._compile(graph, shape))
            self._kept.move_to_end(key)
            while len(self._kept) > 2 * _KEPT_SHAPES:
                self._kept.popitem(last=False)
            return self._kept[key]

    def _compile(self, graph: Any, shape: Shape) -> Any:
        model = graph.clone()
        names = (port.get_any_name() for port in model.inputs)
        model.reshape({name: [len(COLUMNS)] if name == "row" else list(shape) for name in names})
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if self._bf16 else "f32",
            # Nothing is written beside the bundle that the user did not ask for.
            "CACHE_DIR": "",
        }
        return self._core.compile_model(model, "CPU", settings)
