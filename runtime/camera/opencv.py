"""OpenCV's part of the camera pipeline: reading and writing video, and the window."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

from runtime.camera.frames import DEFAULT_FPS, Frame, Image, Reading, SourceLostError
from runtime.errors import ImageError, OptionError, OutputError

FOURCC = {".avi": "MJPG", ".mkv": "mp4v", ".mov": "mp4v", ".mp4": "mp4v"}

_TIMEOUT_MS = 5000
_ESCAPE = 27


def load() -> Any:
    """OpenCV, imported when first used, and quiet: our errors name the cause."""
    # FFmpeg writes to standard error by itself; it reads this when a video is first opened.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def to_rgb(bgr: Image) -> Image:
    """OpenCV's blue-green-red, or four channels of it, as RGB (H, W, 3)."""
    cv2 = load()
    code = cv2.COLOR_BGR2RGB if bgr.shape[2] == 3 else cv2.COLOR_BGRA2RGB
    return cv2.cvtColor(bgr, code)


def to_bgr(image: Image) -> Image:
    """RGB in OpenCV's order."""
    cv2 = load()
    return cv2.cvtColor(image, cv2.COLOR_RGB2BGR)


def to_bgrx(image: Image) -> Image:
    """RGB as (H, W, 4), blue first: rows that need no padding in GStreamer."""
    cv2 = load()
    return cv2.cvtColor(image, cv2.COLOR_RGB2BGRA)


def fit(image: Image, height_px: int, width_px: int) -> Image:
    """``image`` at that size: as it is, or scaled with its proportions kept, bars at the sides."""
    height, width = image.shape[:2]
    if (height, width) == (height_px, width_px):
        return image
    cv2 = load()
    scale = min(height_px / height, width_px / width)
    inner_h, inner_w = max(1, round(height * scale)), max(1, round(width * scale))
    kind = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    scaled = cv2.resize(image, (inner_w, inner_h), interpolation=kind)
    top, left = (height_px - inner_h) // 2, (width_px - inner_w) // 2
    bottom, right = height_px - inner_h - top, width_px - inner_w - left
    return cv2.copyMakeBorder(scaled, top, bottom, left, right, cv2.BORDER_CONSTANT)


class CaptureSource:
    """A video file, a URL, or a V4L2 camera, read by OpenCV; see ``open_camera`` and the others."""

    def __init__(self, name: str, capture: Any, *, live: bool) -> None:
        self._cv2 = load()
        self._capture = capture
        self.name, self.live = name, live
        fps = float(capture.get(self._cv2.CAP_PROP_FPS))
        # Drivers that do not know say 0, and some containers an absurd time base.
        self.fps = fps if 0.0 < fps <= 1000.0 else None
        self._time_ms = -1.0

    def read(self) -> Reading | None:
        there, bgr = self._capture.read()
        if there:
            return Reading(to_rgb(bgr), None if self.live else self._next_time_ms())
        if self.live:
            raise SourceLostError(f"{self.name} delivers no more frames")
        return None

    def _next_time_ms(self) -> float:
        """The file's own time of the frame just read, made to rise where the file has none."""
        time_ms = float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC))
        if not time_ms > self._time_ms:
            time_ms = max(self._time_ms, 0.0) + 1000.0 / (self.fps or DEFAULT_FPS)
        self._time_ms = time_ms
        return time_ms

    def close(self) -> None:
        self._capture.release()


def open_camera(device: int | str) -> CaptureSource:
    """The V4L2 camera with that index or path; raises ImageError."""
    cv2 = load()
    path = Path(f"/dev/video{device}" if isinstance(device, int) else device)
    _require_backend(cv2.CAP_V4L2, "V4L2", str(path))
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    if not capture.isOpened():
        found = ", ".join(sorted(str(each) for each in Path("/dev").glob("video*"))) or "none"
        raise ImageError(
            f"cannot open the camera {path}; wanted is a V4L2 device that is not in use "
            f"(there: {found})"
        )
    # The driver's own queue would deliver frames that are old already.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return CaptureSource(str(path), capture, live=True)


def open_file(path: Path) -> CaptureSource:
    """A video file; raises ImageError."""
    cv2 = load()
    if not path.is_file():
        raise ImageError(
            f"no file or folder {path}; give a camera index, a video file, a URL, a GStreamer "
            "pipeline, or a folder of frames"
        )
    _require_backend(cv2.CAP_FFMPEG, "FFmpeg", str(path))
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise ImageError(f"{path} is no video that OpenCV's FFmpeg can read; convert it first")
    return CaptureSource(str(path), capture, live=False)


def open_url(url: str) -> CaptureSource:
    """An RTSP, HTTP or other stream; a URL of known length is a file. Raises ImageError.

    A password in ``url`` is left out of the name, the messages and so of the summary.
    """
    cv2 = load()
    name = _without_password(url)
    _require_backend(cv2.CAP_FFMPEG, "FFmpeg", name)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS]
    limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        raise ImageError(f"cannot open {name} with OpenCV's FFmpeg; check that it is being served")
    return CaptureSource(name, capture, live=capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0)


def _without_password(url: str) -> str:
    return re.sub(r"(?<=://)[^/@]*@", "", url)


def _require_backend(backend: int, name: str, source: str) -> None:
    if not load().videoio_registry.hasBackend(backend):
        raise ImageError(
            f"this build of OpenCV has no {name} back end, which {source} needs; install "
            "opencv-python from PyPI, or give a GStreamer pipeline"
        )


class VideoFile:
    """An encoder into a video file, which appears under its name once it is finished."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        # Encoders want a rate with a small denominator: 30000/1001 instead of 29.97002997.
        self._fps = float(Fraction(fps).limit_denominator(1001))
        self._beside = path.with_name(f".{path.stem}.part{path.suffix}")
        self._writer: Any = None

    @property
    def name(self) -> str:
        return str(self._path)

    def open(self, height_px: int, width_px: int) -> None:
        """Start a video of that size; raises OutputError."""
        cv2 = load()
        code = cv2.VideoWriter.fourcc(*FOURCC[self._path.suffix.lower()])
        size = (width_px, height_px)
        self._writer = cv2.VideoWriter(str(self._beside), cv2.CAP_FFMPEG, code, self._fps, size)
        if not self._writer.isOpened():
            self._beside.unlink(missing_ok=True)
            raise OutputError(
                f"OpenCV's FFmpeg cannot write {width_px}x{height_px} at {self._fps:g} fps to "
                f"{self._path}; choose another of {', '.join(FOURCC)}"
            )

    def put(self, image: Image) -> None:
        self._writer.write(to_bgr(image))

    def close(self) -> None:
        if self._writer is not None and self._writer.isOpened():
            self._writer.release()
            self._beside.replace(self._path)


class WindowSink:
    """A window on the screen; Escape, q, or closing it ends the run."""

    name = "window"

    def __init__(self) -> None:
        # Without a display OpenCV's window library ends the whole process.
        if os.name == "posix" and not (os.environ.get("DISPLAY") or _wayland()):
            raise OptionError("no display for a window; choose another sink: a file, or null")
        self._title = "DvSR Edge"
        self._shown = False

    def write(self, frame: Frame) -> bool:
        cv2 = load()
        if self._shown and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            return False
        cv2.imshow(self._title, to_bgr(frame.image))
        self._shown = True
        return cv2.waitKey(1) & 0xFF not in (ord("q"), _ESCAPE)

    def close(self) -> None:
        if self._shown:
            load().destroyAllWindows()


def _wayland() -> str | None:
    return os.environ.get("WAYLAND_DISPLAY")
