"""PyTorch in float32, the reference: programs of torch.export that a bundle may carry.

torch is imported when this engine is named, never otherwise. Loading a program unpickles: name
this engine only for bundles that you trust.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle
from runtime.engines.protocol import failure, require
from runtime.engines.two_graphs import TwoGraphs
from runtime.errors import EngineError

Floats = NDArray[np.float32]


class ProgramEngine(TwoGraphs):
    """The two exported programs of a bundle, run eagerly by PyTorch on the CPU."""

    def __init__(self, bundle: Bundle) -> None:
        require("torch", "train")
        programs = bundle.manifest.programs
        if programs is None:
            raise EngineError(
                f"bundle '{bundle.manifest.name}' carries no exported programs; "
                "export it again with --with-torch"
            )
        self._torch = importlib.import_module("torch")
        super().__init__(self._open(bundle, programs.predictor), self._open(bundle, programs.step))

    @property
    def name(self) -> str:
        return f"torch (PyTorch {self._torch.__version__}, CPU, float32)"

    def _open(self, bundle: Bundle, file: str) -> Any:
        path = bundle.path(file)
        try:
            return self._torch.export.load(path).module()
        except Exception as error:  # zip, pickle and torch's own errors share no narrower base
            raise EngineError(f"PyTorch cannot open {path}: {error}; export it again") from error

    def _run(self, graph: Any, inputs: dict[str, Floats]) -> list[Floats]:
        try:
            with self._torch.inference_mode():
                # from_dlpack refuses read-only arrays, and from_numpy warns of them.
                values = [
                    self._torch.from_numpy(value if value.flags.writeable else value.copy())
                    for value in inputs.values()
                ]
                outputs = graph(*values)
        except Exception as error:  # shapes come as RuntimeError and AssertionError, memory as both
            raise failure("PyTorch", error, inputs) from error
        outputs = outputs if isinstance(outputs, tuple | list) else [outputs]
        return [np.ascontiguousarray(output.numpy()) for output in outputs]
