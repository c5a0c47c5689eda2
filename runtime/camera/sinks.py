"""From what people type to a sink for frames."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from runtime.camera.frames import Frame, Image, Sink
from runtime.errors import OptionError, OutputError
from runtime.images import Photograph, write_photograph

SinkSpec = str | Path | Callable[[Frame], object] | Sink

_LONGEST_GAP_S = 5.0
_COLUMNS = ("file", "index", "timestamp_ms")


def open_sink(spec: SinkSpec, fps: float, *, keep_time: bool) -> Sink:
    """Prepare "null", "window", a video file, a folder, a GStreamer pipeline, or a callback.

    A folder is a path without suffix; it is made where it is missing. ``fps`` is the rate of video
    files and pipelines; with ``keep_time`` frames are repeated there where others are missing.
    Raises OptionError and OutputError where it cannot be written.
    """
    from runtime.camera import gstreamer, opencv

    if not isinstance(spec, str | Path):
        return CallbackSink(spec) if callable(spec) else spec
    text = str(spec)
    if text == "null":
        return NullSink()
    if text == "window":
        return opencv.WindowSink()
    if gstreamer.is_pipeline(text):
        return StreamSink(gstreamer.GStreamerEncoder(text, fps), fps, keep_time=keep_time)
    path = Path(text)
    _check_place(path)
    if path.is_dir() or not path.suffix:
        return FolderSink(path)
    if path.suffix.lower() not in opencv.FOURCC:
        raise OptionError(
            f"got the sink {path}; wanted is a video ({', '.join(opencv.FOURCC)}), a folder, "
            "a GStreamer pipeline, window, or null"
        )
    return StreamSink(opencv.VideoFile(path, fps), fps, keep_time=keep_time)


def _check_place(path: Path) -> None:
    if not path.parent.is_dir():
        raise OutputError(f"no folder {path.parent} to write {path.name} into; create it first")
    if not os.access(path if path.is_dir() else path.parent, os.W_OK):
        raise OutputError(f"no permission to write {path}; choose another sink")


class NullSink:
    """Forgets every frame: for measuring."""

    name = "null"

    def write(self, frame: Frame) -> bool:
        return True

    def close(self) -> None:
        """Nothing is held open."""


class CallbackSink:
    """Hands every frame to a function; the run stops where that returns False."""

    def __init__(self, function: Callable[[Frame], object]) -> None:
        self._function = function

    @property
    def name(self) -> str:
        return getattr(self._function, "__qualname__", type(self._function).__name__)

    def write(self, frame: Frame) -> bool:
        return self._function(frame) is not False

    def close(self) -> None:
        """Nothing is held open."""


class FolderSink:
    """One PNG for each frame, named by its index, and ``timestamps.csv`` with their times.

    Raises OutputError for a folder that holds files: two runs in one folder could not be told
    apart.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        if next(folder.iterdir(), None) is not None:
            raise OutputError(f"the folder {folder} is not empty; give a new one")
        self._table: IO[str] | None = None

    @property
    def name(self) -> str:
        return str(self._folder)

    def write(self, frame: Frame) -> bool:
        name = f"{frame.index:08d}.png"
        write_photograph(self._folder / name, Photograph(frame.image))
        if self._table is None:
            self._table = (self._folder / "timestamps.csv").open("w", newline="")
            csv.writer(self._table).writerow(_COLUMNS)
        csv.writer(self._table).writerow((name, frame.index, f"{frame.timestamp_ms:.3f}"))
        return True

    def close(self) -> None:
        if self._table is not None:
            self._table.close()


class Encoder(Protocol):
    """Takes frames of one size at a constant rate."""

    @property
    def name(self) -> str: ...

    def open(self, height_px: int, width_px: int) -> None: ...

    def put(self, image: Image) -> None: ...

    def close(self) -> None: ...


class StreamSink:
    """Frames of one size at a constant rate: video files and GStreamer pipelines.

    The first frame sets the size; others are scaled to it, their proportions kept.
    """

    def __init__(self, encoder: Encoder, fps: float, *, keep_time: bool) -> None:
        self._encoder = encoder
        self._rate = ConstantRate(fps) if keep_time else None
        self._size: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        return self._encoder.name

    def write(self, frame: Frame) -> bool:
        from runtime.camera.opencv import fit

        if self._size is None:
            self._encoder.open(*frame.size)
            self._size = frame.size
        image = fit(frame.image, *self._size)
        for _ in range(1 if self._rate is None else self._rate.copies(frame.timestamp_ms)):
            self._encoder.put(image)
        return True

    def close(self) -> None:
        self._encoder.close()


class ConstantRate:
    """How often each frame is written so that a stream of constant rate keeps its time.

    Every frame is written at least once; one that comes after a gap fills the gap, up to 5 s of
    it: a camera that was away for an hour does not cost an hour of copies.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._written = 0
        self._origin_ms: float | None = None

    def copies(self, timestamp_ms: float) -> int:
        """How many times to write the frame of that time."""
        if self._origin_ms is None:
            self._origin_ms = timestamp_ms
        place = round((timestamp_ms - self._origin_ms) * self._fps / 1000.0)
        missing = place - self._written
        longest = max(1, round(_LONGEST_GAP_S * self._fps))
        if missing > longest:
            self._origin_ms += 1000.0 * (missing - longest) / self._fps
        count = 1 + min(max(missing, 0), longest)
        self._written += count
        return count
