"""What an engine is, and what it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from runtime.device_images import DeviceImages
from runtime.errors import EngineError
from runtime.samplers import Table

Floats = NDArray[np.float32]
Images = NDArray[np.uint8]

# noise(k) is the standard normal field of step k: 0 for the start, 1, 2, ... for the rows.
Noise = Callable[[int], Floats]
# clock("step 3") measures what happens inside.
Clock = Callable[[str], AbstractContextManager[None]]


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
    predictor's picture is returned and ``samples`` has no effect) and averaged. Only a
    :class:`CudaEngine` is asked with DeviceImages, or for a result in ``target``. ``held_bytes`` is
    what the caller holds of the host's memory beside it until it is answered.
    """

    images: Images | DeviceImages
    table: Table
    samples: int
    seed: int
    want_std: bool = False
    want_samples: bool = False
    target: DeviceImages | None = None
    held_bytes: int = 0


@dataclass(frozen=True)
class Result:
    """The answer to a :class:`Request`; what was not asked for is None.

    ``images`` uint8 (N, H, W, 3), None where they went to the request's target; ``std`` float32
    (N, H, W, 3) in grey levels; ``samples`` uint8 (N, S, H, W, 3). ``stages_ms`` are milliseconds
    by stage: upload, predictor, steps, download.
    """

    images: Images | None
    std: Floats | None
    samples: Images | None
    stages_ms: dict[str, float]


@runtime_checkable
class SamplingEngine(Engine, Protocol):
    """An engine that takes all steps itself, so that its state can stay on its device."""

    def sample(self, table: Table, y: Floats, noise: Noise, clock: Clock) -> Floats:
        """What :func:`runtime.loop.sample_residual` computes, with the same ``noise``."""


@runtime_checkable
class LoopEngine(Engine, Protocol):
    """An engine that also runs the whole loop on its device, for instance as one CUDA graph.

    Its noise is that of ``runtime.noise`` for the seed, sample and step; a picture of a batch has
    the noise that it would have alone.
    """

    def run(self, request: Request) -> Result:
        """Deblur all pictures of ``request``; raises EngineError, and can be called again then."""

    def fits(self, request: Request) -> bool:
        """Whether the device has the memory and the profile for ``request`` as a whole."""


@runtime_checkable
class CudaEngine(LoopEngine, Protocol):
    """A :class:`LoopEngine` whose pictures may come from its GPU's memory, and go there."""

    @property
    def cuda_device(self) -> int:
        """The ordinal of its GPU."""


def require(module: str, extra: str) -> None:
    """Raise EngineError, saying what to install, where ``module`` is not there."""
    problem = lacks(module, extra)
    if problem is not None:
        raise EngineError(problem)


def lacks(module: str, extra: str) -> str | None:
    """What to install where ``module`` is not there, else None; imports nothing."""
    if find_spec(module) is not None:
        return None
    return f"the Python module '{module}' is not installed; type: pip install 'dvsr-edge[{extra}]'"


def failure(library: str, error: Exception, inputs: dict[str, Floats]) -> EngineError:
    """The error to raise for ``error``, which ``library`` raised on ``inputs``."""
    shapes = ", ".join(f"{name} {value.shape}" for name, value in inputs.items())
    text = str(error) or type(error).__name__
    if isinstance(error, MemoryError) or any(sign in text.lower() for sign in _OUT_OF_MEMORY):
        return out_of_memory(f"{library} on {shapes}: {text}")
    return EngineError(f"{library} failed on {shapes}: {text}")


_OUT_OF_MEMORY = ("failed to allocate", "out of memory", "bad_alloc", "bad allocation")


def out_of_memory(where: str) -> EngineError:
    """The error to raise where memory ran out, with the remedy."""
    return EngineError(
        f"out of memory ({where}); open the session with a smaller memory_mib so that the picture "
        "is cut into tiles, or take fewer samples"
    )
