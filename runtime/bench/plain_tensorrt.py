"""The peer ``tensorrt-plain``: TensorRT driven by Polygraphy, call by call, without CUDA graphs."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.bench.plain_loop import Floats, PlainLoop
from runtime.bundle import Bundle
from runtime.engines import require


def open_peer(_name: str, bundle: Bundle, _checkpoint: Path | None) -> PlainLoop:
    """One engine for each graph and shape, built when that shape first comes (while warming up).

    Raises EngineError without ``tensorrt`` or ``polygraphy``.
    """
    require("tensorrt", "trt")
    require("polygraphy", "bench")
    library = importlib.import_module("tensorrt")
    manifest = bundle.manifest
    predictor = _Graph(bundle.path(manifest.predictor.file))
    step = _Graph(bundle.path(manifest.step.file))

    def run_step(inputs: dict[str, Floats]) -> tuple[Floats, Floats]:
        outputs = step.run(inputs)
        return outputs["z_next"], outputs["residual"]

    return PlainLoop(
        name=f"plain TensorRT {library.__version__} by Polygraphy",
        predict=lambda y: predictor.run({"y": y})[manifest.predictor.outputs[0].name],
        step=run_step,
        multiple_px=manifest.size_multiple_px,
    )


@dataclass
class _Graph:
    path: Path
    runners: dict[tuple[int, ...], Any] = field(default_factory=dict)

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        shape = inputs["y"].shape
        if shape not in self.runners:
            self.runners[shape] = self._build(inputs)
        outputs = self.runners[shape].infer(inputs)
        # The runner's next call writes into the same arrays.
        return {name: value.copy() for name, value in outputs.items()}

    def _build(self, inputs: dict[str, Floats]) -> Any:
        trt = importlib.import_module("polygraphy.backend.trt")
        profile = trt.Profile()
        for name, value in inputs.items():
            if value.ndim == 4:
                profile.add(name, min=value.shape, opt=value.shape, max=value.shape)
        network = trt.NetworkFromOnnxPath(str(self.path), strongly_typed=True)
        config = trt.CreateConfig(profiles=[profile])
        runner = trt.TrtRunner(trt.EngineFromNetwork(network, config=config))
        runner.activate()
        return runner
