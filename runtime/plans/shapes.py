"""Sizes, batches and options of TensorRT engines: what an engine was built to take."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from runtime.bundle import Graph, Manifest

Shape = tuple[int, ...]

_FLOAT_BYTES = 4


@dataclass(frozen=True, order=True)
class Size:
    """A picture's size in pixels, written 1280x720: width first, as cameras and screens name it."""

    width_px: int
    height_px: int

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}"

    @property
    def pixels(self) -> int:
        return self.width_px * self.height_px

    def rounded_up(self, multiple_px: int) -> Size:
        """The smallest size that holds this one and obeys the model's size rule."""
        width, height = (-(-side // multiple_px) * multiple_px for side in self._sides)
        return Size(width, height)

    def within(self, low: Size, high: Size) -> Size:
        """The size nearest to this one in the range from ``low`` to ``high``, side by side."""
        width = min(max(self.width_px, low.width_px), high.width_px)
        return Size(width, min(max(self.height_px, low.height_px), high.height_px))

    def fits(self, low: Size, high: Size) -> bool:
        """Whether both sides lie in the range from ``low`` to ``high``."""
        return self.within(low, high) == self

    @property
    def _sides(self) -> tuple[int, int]:
        return self.width_px, self.height_px


@dataclass(frozen=True)
class SizeRange:
    """The sizes that one profile of an engine serves, and the one it is tuned for."""

    min: Size
    opt: Size
    max: Size

    def __str__(self) -> str:
        return str(self.max) if self.min == self.max else f"{self.min} .. {self.opt} .. {self.max}"


@dataclass(frozen=True)
class Counts:
    """How many pictures, or samples of one picture, an engine takes at once."""

    min: int = 1
    opt: int = 1
    max: int = 1

    def __str__(self) -> str:
        return str(self.max) if self.min == self.max else f"{self.min}:{self.opt}:{self.max}"


class Options(msgspec.Struct, frozen=True):
    """What else changes the engine that comes out. ``optimization_level`` None: the library's."""

    workspace_mib: int | None = None
    optimization_level: int | None = None
    tf32: bool = False
    version_compatible: bool = False
    hardware_compatible: bool = False
    strip_weights: bool = False
    refit: bool = False


class Profile(msgspec.Struct, frozen=True):
    """Shapes (N, 3, H, W) of every picture input of one graph: smallest, tuned for, largest."""

    min: Shape
    opt: Shape
    max: Shape

    @property
    def sizes(self) -> SizeRange:
        return SizeRange(*(Size(shape[3], shape[2]) for shape in self._shapes))

    @property
    def counts(self) -> Counts:
        return Counts(*(shape[0] for shape in self._shapes))

    @property
    def _shapes(self) -> tuple[Shape, Shape, Shape]:
        return self.min, self.opt, self.max

    def __str__(self) -> str:
        return f"{self.sizes}, batch {self.counts}"


def graphs_of(manifest: Manifest) -> dict[str, Graph]:
    """The graphs that engines are built of, by the name that options and messages use."""
    return {"predictor": manifest.predictor, "step": manifest.step}


def bound_bytes(graph: Graph, shape: Shape) -> int:
    """Bytes of all inputs and outputs of ``graph`` where its pictures have ``shape``."""
    elements = 0
    for tensor in (*graph.inputs, *graph.outputs):
        dimensions = shape if len(tensor.shape) == len(shape) else tensor.shape
        product = 1
        for dimension in dimensions:
            product *= int(dimension)
        elements += product
    return elements * _FLOAT_BYTES
