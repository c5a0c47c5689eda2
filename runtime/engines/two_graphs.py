"""What engines share that hand predictor and step to a library, one call for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class TwoGraphs(ABC):
    """The calls of :class:`runtime.engines.Engine` as runs of one of two graphs.

    ``predictor`` and ``step`` are whatever the library makes of a bundle's graphs.
    """

    def __init__(self, predictor: Any, step: Any) -> None:
        self._predictor, self._step = predictor, step

    def predict(self, y: Floats) -> Floats:
        return self._run(self._predictor, {"y": y})[0]

    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        inputs = {"z": z, "y": y, "noise": noise, "previous": previous, "row": row}
        z_next, residual = self._run(self._step, inputs)
        return z_next, residual

    @abstractmethod
    def _run(self, graph: Any, inputs: dict[str, Floats]) -> list[Floats]:
        """The outputs of ``graph`` in their order, the caller's own; raises EngineError."""
