"""The C++ library dvsr: deblur pictures with a DvSR bundle."""

import os
from typing import Annotated, Literal, overload

import numpy
import numpy.typing
from numpy.typing import NDArray


class DvsrError(Exception):
    pass

class Session:
    """An opened bundle on an engine; deblur() is safe from several threads."""

    def __init__(self, bundle: str | os.PathLike = '', *, engine: str = 'auto', memory_mib: int | None = None) -> None:
        """
        Open a bundle directory, a shipped bundle's name, or '' for the default one.
        """

    @overload
    def deblur(self, image: numpy.typing.NDArray[numpy.uint8], *, steps: int | None = None, samples: int | None = None, seed: int = 0, preset: str | None = None, self_ensemble: bool | None = None, strength: float | None = None, return_std: Literal[False] = False) -> numpy.typing.NDArray[numpy.uint8]:
        """Deblur uint8 RGB (H, W, 3) of any size; returns uint8 RGB (H, W, 3)."""

    @overload
    def deblur(self, image: numpy.typing.NDArray[numpy.uint8], *, steps: int | None = None, samples: int | None = None, seed: int = 0, preset: str | None = None, self_ensemble: bool | None = None, strength: float | None = None, return_std: Literal[True]) -> tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.float32]]:
        """
        Also the standard deviation of the samples, float32 (H, W, 3) in grey levels.
        """

    @property
    def engine(self) -> str:
        """What runs the graphs."""

    @property
    def presets(self) -> list[str]:
        """The bundle's presets, sorted."""

    @property
    def timings(self) -> dict[str, float]:
        """Milliseconds by stage of the call that ended last."""

def engines() -> list[str]:
    """The engines built in, without 'auto'."""

def normals(seed: int, sample: int, step: int, height_px: int, width_px: int) -> Annotated[NDArray[numpy.float32], dict(shape=(3, None, None))]:
    """The noise of one sample and step, float32 (3, height_px, width_px)."""
