"""Engines: what runs the two graphs of a bundle. Each library is imported only when named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle
from runtime.errors import EngineError
from runtime.samplers import Table

Floats = NDArray[np.float32]
Images = NDArray[np.uint8]


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


@dataclass(frozen=True)
class Request:
    """What a :class:`LoopEngine` is asked for: everything that the pictures depend on.

    ``images`` are uint8 RGB (N, H, W, 3), H and W multiples of the bundle's ``size_multiple_px``;
    ``samples`` of each are drawn with ``table`` (at least 1; with a table of no rows the
    predictor's picture is returned and ``samples`` has no effect) and averaged.
    """

    images: Images
    table: Table
    samples: int
    seed: int
    want_std: bool = False
    want_samples: bool = False


@dataclass(frozen=True)
class Result:
    """The answer to a :class:`Request`; what was not asked for is None.

    ``images`` uint8 (N, H, W, 3); ``std`` float32 (N, H, W, 3) in grey levels; ``samples`` uint8
    (N, S, H, W, 3). ``stages_ms`` are milliseconds by stage: upload, predictor, steps, download.
    """

    images: Images
    std: Floats | None
    samples: Images | None
    stages_ms: dict[str, float]


class LoopEngine(Engine, Protocol):
    """An engine that also runs the whole loop on its device, for instance as one CUDA graph.

    Its noise is that of ``runtime.noise`` for the seed, sample and step; a picture of a batch has
    the noise that it would have alone.
    """

    def run(self, request: Request) -> Result:
        """Deblur all pictures of ``request``; raises EngineError, and can be called again then."""

    def fits(self, request: Request) -> bool:
        """Whether the device has the memory and the profile for ``request`` as a whole."""


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


__all__ = ["ENGINES", "Engine", "LoopEngine", "Request", "Result", "open_engine", "require"]
