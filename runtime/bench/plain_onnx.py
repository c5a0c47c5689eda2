"""The peer ``onnx-plain``: ONNX Runtime as the first page of its documentation uses it."""

from __future__ import annotations

import importlib
from pathlib import Path

from runtime.bench.plain_loop import Floats, PlainLoop
from runtime.bundle import Bundle
from runtime.engines import require


def open_peer(_name: str, bundle: Bundle, _checkpoint: Path | None) -> PlainLoop:
    """Two sessions with default options, fed with numpy arrays; on the GPU where it has one.

    Raises EngineError where ONNX Runtime is not installed.
    """
    require("onnxruntime", "cpu")
    library = importlib.import_module("onnxruntime")
    known = library.get_available_providers()
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    providers = [provider for provider in wanted if provider in known]
    manifest = bundle.manifest
    predictor, step = (
        library.InferenceSession(str(bundle.path(graph.file)), providers=providers)
        for graph in (manifest.predictor, manifest.step)
    )

    def run_step(inputs: dict[str, Floats]) -> tuple[Floats, Floats]:
        z, residual = step.run(None, inputs)
        return z, residual

    return PlainLoop(
        name=f"plain ONNX Runtime {library.__version__}, {predictor.get_providers()[0]}",
        predict=lambda y: predictor.run(None, {"y": y})[0],
        step=run_step,
        multiple_px=manifest.size_multiple_px,
    )
