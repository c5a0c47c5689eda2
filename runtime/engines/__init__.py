"""Engines: what runs the two graphs of a bundle. Each library is imported only when named."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle
from runtime.errors import EngineError

Floats = NDArray[np.float32]


class Engine(Protocol):
    """Runs predictor and denoiser step on float32 (N, 3, H, W) arrays in [-1, 1].

    H and W are multiples of the bundle's ``size_multiple_px``. Both calls are safe from several
    threads and return arrays that the caller owns.
    """

    @property
    def name(self) -> str:
        """What ran and on what, for people: library, version, device."""

    def predict(self, y: Floats) -> Floats:
        """The predictor's picture g(y), of the shape of ``y``."""

    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        """One row of a sampler table, (7,) float32: the next ``z``, and the residual estimate."""


def _open_onnx_cpu(bundle: Bundle) -> Engine:
    from runtime.engines.onnx import OnnxEngine

    return OnnxEngine(bundle)


ENGINES: dict[str, Callable[[Bundle], Engine]] = {"onnx-cpu": _open_onnx_cpu}


def open_engine(name: str, bundle: Bundle) -> Engine:
    """Open engine ``name`` for ``bundle``; "auto" takes onnx-cpu, the one engine there is so far.

    Raises EngineError for an unknown engine and for one whose library is not installed.
    """
    name = "onnx-cpu" if name == "auto" else name
    if name not in ENGINES:
        raise EngineError(f"got engine '{name}'; wanted is auto or one of {', '.join(ENGINES)}")
    return ENGINES[name](bundle)


def require(module: str, extra: str) -> None:
    """Raise EngineError, saying what to install, where ``module`` is not there."""
    if find_spec(module) is None:
        raise EngineError(
            f"the Python module '{module}' is not installed; type: pip install 'dvsr-edge[{extra}]'"
        )


__all__ = ["ENGINES", "Engine", "open_engine", "require"]
