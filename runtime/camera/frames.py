"""What travels through the camera pipeline, and what its two ends must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ImageError

Image = NDArray[np.uint8]

DEFAULT_FPS = 30.0


@dataclass(frozen=True)
class Reading:
    """What a source hands over: ``image`` uint8 RGB (H, W, 3), and its time within the source.

    ``timestamp_ms`` is None where the source does not know it: then the arrival counts.
    """

    image: Image
    timestamp_ms: float | None = None


@dataclass(frozen=True)
class Frame:
    """A picture on its way: ``image`` uint8 RGB (H, W, 3), sharp where a sink gets it.

    ``index`` counts the frames read from 0, so a gap is a dropped frame. ``timestamp_ms`` is the
    file's own time, or for live sources the time since the first frame arrived. ``arrived_s`` is
    the clock when the source handed the frame over: glass-to-glass latency counts from there.
    """

    image: Image
    index: int
    timestamp_ms: float
    arrived_s: float

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]


class SourceLostError(ImageError):
    """A live source stopped delivering; opening it again may help."""


class Source(Protocol):
    """Where frames come from. One thread reads and closes it.

    ``live`` sources deliver in their own time and are opened again when they vanish; ``fps`` is
    their nominal rate, None where unknown.
    """

    @property
    def name(self) -> str:
        """The source, for people."""

    @property
    def live(self) -> bool: ...

    @property
    def fps(self) -> float | None: ...

    def read(self) -> Reading | None:
        """The next frame, None after the last; raises SourceLostError where a live one vanished."""

    def close(self) -> None: ...


class Sink(Protocol):
    """Where frames go. The thread that runs the pipeline writes and closes it."""

    @property
    def name(self) -> str:
        """The sink, for people."""

    def write(self, frame: Frame) -> bool:
        """Take one frame; False asks the pipeline to stop. Raises OutputError."""

    def close(self) -> None:
        """Finish the output, so that what was written can be played."""
