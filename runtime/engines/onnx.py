"""ONNX Runtime on the CPU, the engine that needs nothing but a wheel."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle, Graph
from runtime.engines import require
from runtime.errors import EngineError

Floats = NDArray[np.float32]


class OnnxEngine:
    """The two graphs of a bundle as ONNX Runtime sessions on the CPU provider."""

    def __init__(self, bundle: Bundle) -> None:
        require("onnxruntime", "cpu")
        self._library = importlib.import_module("onnxruntime")
        self._predictor = self._open(bundle, bundle.manifest.predictor)
        self._step = self._open(bundle, bundle.manifest.step)

    @property
    def name(self) -> str:
        return f"onnx-cpu (ONNX Runtime {self._library.__version__}, CPU)"

    def predict(self, y: Floats) -> Floats:
        return self._run(self._predictor, {"y": y})[0]

    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        inputs = {"z": z, "y": y, "noise": noise, "previous": previous, "row": row}
        z_next, residual = self._run(self._step, inputs)
        return z_next, residual

    def _open(self, bundle: Bundle, graph: Graph) -> Any:
        options = self._library.SessionOptions()
        options.log_severity_level = 4  # what goes wrong comes back as an exception
        # A camera hands in one size after another: a plan for a fixed shape would be rebuilt.
        options.enable_mem_pattern = False
        try:
            return self._library.InferenceSession(
                str(bundle.path(graph.file)), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own exceptions share no narrower base
            raise EngineError(
                f"ONNX Runtime cannot open {bundle.path(graph.file)}: {error}; export it again"
            ) from error

    def _run(self, session: Any, inputs: dict[str, Floats]) -> list[Floats]:
        try:
            outputs: list[Floats] = session.run(None, inputs)
        except Exception as error:  # as above: memory, shapes and types all come this way
            shapes = ", ".join(f"{name} {value.shape}" for name, value in inputs.items())
            raise EngineError(f"ONNX Runtime failed on {shapes}: {error}") from error
        return outputs
