"""What the loop needs of an inference library: networks, each at one shape, on one stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Shape = tuple[int, ...]


class Runner(Protocol):
    """One network (predictor or step) for pictures of one shape.

    It owns what the library keeps for it, but neither inputs nor outputs nor scratch memory.
    """

    @property
    def scratch_bytes(self) -> int:
        """The scratch memory that it needs at its shape."""

    @property
    def capturable(self) -> bool:
        """Whether its work may become part of a CUDA graph."""

    def use_scratch(self, address: int, size: int) -> None:
        """Take this as scratch memory; other runners may use the same, one after another."""

    def bind(self, addresses: Mapping[str, int]) -> None:
        """Set the device addresses of inputs and outputs by name; raises EngineError."""

    def enqueue(self) -> None:
        """Put the network on the stream; raises EngineError where the library refuses."""

    def close(self) -> None:
        """Give back what the library keeps."""


class Networks(Protocol):
    """Both networks of a bundle, at every shape that they were built for."""

    def check(self, graph: str, shape: Shape) -> None:
        """Raise EngineError where "predictor" or "step" cannot take pictures of this shape."""

    def scratch_bytes(self, graph: str, shape: Shape) -> int:
        """About what :attr:`Runner.scratch_bytes` will be, known before a runner is opened."""

    def open(self, graph: str, shape: Shape) -> Runner:
        """A runner for pictures (N, 3, H, W); raises EngineError."""

    def close(self) -> None:
        """Give everything back."""
