"""From what people type to an open source of frames."""

from __future__ import annotations

import re
from pathlib import Path

from runtime.camera.frames import DEFAULT_FPS, Reading, Source
from runtime.errors import ImageError
from runtime.images import SUFFIXES, read_image

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_DEVICE = re.compile(r"/dev/video\d+")


def open_source(spec: int | str | Path, *, fps: float | None = None) -> Source:
    """Open a V4L2 index or device, a video file, a URL, a GStreamer pipeline, or a folder.

    ``fps`` is the rate of a folder's frames, which do not know it (None: 30).
    Raises ImageError, naming what is missing, where it cannot be read.
    """
    from runtime.camera import gstreamer, opencv

    text = str(spec)
    if text.isdecimal():
        return opencv.open_camera(int(text))
    if gstreamer.is_pipeline(text):
        return gstreamer.GStreamerSource(text)
    if _URL.match(text):
        return opencv.open_url(text)
    if _DEVICE.fullmatch(text):
        return opencv.open_camera(text)
    path = Path(text)
    return FolderSource(path, fps or DEFAULT_FPS) if path.is_dir() else opencv.open_file(path)


class FolderSource:
    """The picture files of a folder in the order of their names, numbers by their value."""

    live = False

    def __init__(self, folder: Path, fps: float) -> None:
        files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
        if not files:
            raise ImageError(f"no pictures in {folder}; wanted are files of {', '.join(SUFFIXES)}")
        self.name, self.fps = str(folder), fps
        self._files = enumerate(sorted(files, key=_natural))

    def read(self) -> Reading | None:
        for index, path in self._files:
            return Reading(read_image(path), 1000.0 * index / self.fps)
        return None

    def close(self) -> None:
        """Nothing is held open."""


def _natural(path: Path) -> list[tuple[int, str]]:
    """A sorting key under which frame9 comes before frame10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
