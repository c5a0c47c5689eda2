"""ONNX Runtime on the CPU, the engine that needs nothing but a wheel."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle
from runtime.engines.protocol import failure, require
from runtime.engines.two_graphs import TwoGraphs
from runtime.errors import EngineError

Floats = NDArray[np.float32]

CPU = "CPUExecutionProvider"


class OnnxEngine(TwoGraphs):
    """The two graphs of a bundle as ONNX Runtime sessions on the CPU provider."""

    def __init__(self, bundle: Bundle) -> None:
        require("onnxruntime", "cpu")
        self._library = importlib.import_module("onnxruntime")
        graphs = (bundle.manifest.predictor, bundle.manifest.step)
        super().__init__(
            *(open_graph(self._library, bundle.path(graph.file), [CPU]) for graph in graphs)
        )

    @property
    def name(self) -> str:
        return f"onnx-cpu (ONNX Runtime {self._library.__version__}, CPU)"

    def _run(self, graph: Any, inputs: dict[str, Floats]) -> list[Floats]:
        try:
            outputs: list[Floats] = graph.run(None, inputs)
        except Exception as error:  # memory, shapes and types all come as classes of their own
            raise failure("ONNX Runtime", error, inputs) from error
        return outputs


def open_graph(library: Any, path: Path, providers: list[Any]) -> Any:
    """The inference session of the graph in ``path``; raises EngineError.

    ONNX Runtime would go on with the CPU where the first provider does not start; this does not.
    """
    options = library.SessionOptions()
    options.log_severity_level = 4  # what goes wrong comes back as an exception
    # A camera hands in one size after another: a plan for a fixed shape would be rebuilt.
    options.enable_mem_pattern = False
    try:
        session = library.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's own exceptions share no narrower base
        raise EngineError(f"ONNX Runtime cannot open {path}: {error}; export it again") from error
    wanted = providers[0][0] if isinstance(providers[0], tuple) else providers[0]
    started = session.get_providers()
    if started[0] != wanted:
        raise EngineError(
            f"ONNX Runtime could not start its {wanted}, only {', '.join(started)}; "
            "check that the CUDA, cuDNN and TensorRT libraries it was built for are installed, "
            "or name another engine"
        )
    session.disable_fallback()
    return session
