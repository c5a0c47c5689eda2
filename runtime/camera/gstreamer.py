"""GStreamer pipelines, run by ``gst-launch-1.0`` in a process of their own.

OpenCV's wheels are built without GStreamer, its tools are one package on every Debian and Jetson.
So raw frames go through a pipe: into ours at the ``appsink``, out of ours at the ``appsrc``.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import threading
from fractions import Fraction
from typing import IO

import numpy as np

from runtime.camera.frames import Image, Reading, SourceLostError
from runtime.camera.opencv import to_bgrx, to_rgb
from runtime.errors import ImageError, OptionError, OutputError

_LAUNCH = "gst-launch-1.0"
_FRAMES = "dvsr_frames"
_TIMEOUT_S = 10.0
_FINISH_S = 60.0
_APPSINK = re.compile(r"!\s*appsink\b(?P<options>[^!]*)$")
_APPSRC = re.compile(r"^\s*appsrc\b[^!]*!")
_SIZE = re.compile(r"width=\(int\)(\d+).*height=\(int\)(\d+)")
_RATE = re.compile(r"framerate=\(fraction\)(\d+)/(\d+)")


def is_pipeline(text: str) -> bool:
    """Whether ``text`` is a GStreamer pipeline: elements joined by exclamation marks."""
    return " ! " in text


def is_live(pipeline: str) -> bool:
    """Whether it delivers in its own time: all do but files and test pictures."""
    from_file = re.search(r"\b(filesrc|multifilesrc|videotestsrc)\b", pipeline)
    return from_file is None or re.search(r"\bis-live=(true|1|yes)\b", pipeline) is not None


class GStreamerSource:
    """The frames that ``pipeline`` ends in, with or without a final ``appsink``.

    Of an ``appsink`` the property ``sync`` is kept; dropping and queueing are this pipeline's own.
    The end of the stream is the end; an error is SourceLostError. Raises ImageError where the
    pipeline cannot be started or shows no frame.
    """

    def __init__(self, pipeline: str) -> None:
        self.name, self.live = pipeline, is_live(pipeline)
        self._size: tuple[int, int] | None = None
        self.fps: float | None = None
        self._count = 0
        self._changed = False
        self._known = threading.Event()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  read when the process has ended
        self._process, self._frames = self._launch(source_command(pipeline))
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self._known.wait(_TIMEOUT_S)
        if self._size is None:
            self._process.kill()
            self._process.wait()
            message = f"GStreamer cannot run '{pipeline}': {self._cause()}"
            self.close()
            raise ImageError(message)

    def _launch(self, command: list[str]) -> tuple[subprocess.Popen[str], IO[bytes]]:
        ours, theirs = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603  running the user's pipeline is the point
                [*command, f"fd={theirs}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                pass_fds=(theirs,),
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return process, os.fdopen(ours, "rb", buffering=0)

    def _watch(self) -> None:
        """Read what gst-launch says: the size of the frames, before the first one, and changes."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = _SIZE.search(line) if _FRAMES in line and "sink: caps" in line else None
            if found is None:
                continue
            size = int(found[2]), int(found[1])
            rate = _RATE.search(line)
            if rate and int(rate[1]) > 0:
                self.fps = int(rate[1]) / int(rate[2])
            self._changed = self._size not in (None, size)
            self._size = self._size or size
            self._known.set()
        self._known.set()

    def read(self) -> Reading | None:
        assert self._size is not None
        if self._changed:
            raise SourceLostError(f"the frames of '{self.name}' changed their size")
        bgrx = np.empty((*self._size, 4), np.uint8)
        left = bgrx.data.cast("B")
        while left:
            if not select.select([self._frames], [], [], _TIMEOUT_S)[0]:
                raise SourceLostError(f"'{self.name}' has shown no frame for {_TIMEOUT_S:g} s")
            count = self._frames.readinto(left)  # type: ignore[attr-defined]  # an unbuffered file
            if not count:
                self._check_end()
                return None
            left = left[count:]
        return Reading(to_rgb(bgrx), self._next_time_ms())

    def _next_time_ms(self) -> float | None:
        """Time within a file by its rate; what is live is told by its arrival."""
        if self.live or self.fps is None:
            return None
        self._count += 1
        return 1000.0 * (self._count - 1) / self.fps

    def _check_end(self) -> None:
        """Raise SourceLostError unless the stream has come to its regular end."""
        try:
            code = self._process.wait(_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            code = 1
        if code != 0:
            raise SourceLostError(f"GStreamer stopped running '{self.name}': {self._cause()}")

    def _cause(self) -> str:
        self._errors.seek(0)
        return first_error(self._errors.read().decode(errors="replace")) or (
            f"no frame within {_TIMEOUT_S:g} s"
        )

    def close(self) -> None:
        self._process.terminate()
        self._frames.close()
        try:
            self._process.wait(_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._watcher.join(_TIMEOUT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()


class GStreamerEncoder:
    """Frames into ``pipeline``, which begins with an ``appsrc`` or with what takes raw video."""

    def __init__(self, pipeline: str, fps: float) -> None:
        _find_launch()
        self._pipeline = pipeline
        self._fps = Fraction(fps).limit_denominator(1001)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  read when the process has ended
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self._pipeline

    def open(self, height_px: int, width_px: int) -> None:
        """Start the pipeline with frames of that size."""
        self._process = subprocess.Popen(  # noqa: S603  running the user's pipeline is the point
            sink_command(self._pipeline, height_px, width_px, self._fps),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is ours to handle
        )

    def put(self, image: Image) -> None:
        """Hand over one frame; raises OutputError where the pipeline has ended."""
        assert self._process is not None
        assert self._process.stdin is not None
        left = to_bgrx(image).data.cast("B")
        try:
            while left:
                left = left[self._process.stdin.write(left) :]
        except BrokenPipeError:
            raise OutputError(self._complaint()) from None

    def close(self) -> None:
        """End the stream and wait until the pipeline has finished its file; raises OutputError."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            failed = process.wait(_FINISH_S) != 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            failed = True
        if failed:
            raise OutputError(self._complaint())

    def _complaint(self) -> str:
        self._errors.seek(0)
        cause = first_error(self._errors.read().decode(errors="replace"))
        return f"GStreamer stopped running '{self._pipeline}': {cause or 'it gave no reason'}"


def source_command(pipeline: str) -> list[str]:
    """``gst-launch-1.0`` for reading; the number of the descriptor is to follow as ``fd=N``."""
    launch = _find_launch()
    appsink = _APPSINK.search(pipeline)
    sync = re.search(r"\bsync=\S+", appsink["options"]) if appsink else None
    elements = _split(pipeline[: appsink.start()] if appsink else pipeline)
    end = ["!", "videoconvert", "!", "video/x-raw,format=BGRx", "!", "fdsink", f"name={_FRAMES}"]
    return [launch, "-v", *elements, *end, *([sync[0]] if sync else [])]


def sink_command(pipeline: str, height_px: int, width_px: int, fps: Fraction) -> list[str]:
    """``gst-launch-1.0`` for writing frames of that size that come through standard input."""
    frames = [
        "rawvideoparse",
        "format=bgrx",
        f"width={width_px}",
        f"height={height_px}",
        f"framerate={fps.numerator}/{fps.denominator}",
    ]
    rest = _split(_APPSRC.sub("", pipeline))
    return [_find_launch(), "-q", "fdsrc", "fd=0", "!", *frames, "!", "videoconvert", "!", *rest]


def first_error(said: str) -> str | None:
    """The first complaint in what gst-launch wrote to standard error, without its prefix."""
    for line in said.splitlines():
        found = re.match(r"(?:ERROR|WARNING): (?:from element \S+: )?(.+)", line)
        if found:
            return found[1].rstrip(".")
    return None


def _split(pipeline: str) -> list[str]:
    try:
        return shlex.split(pipeline)
    except ValueError as error:
        raise OptionError(f"got the pipeline '{pipeline}': {error}; close it") from None


def _find_launch() -> str:
    launch = shutil.which(_LAUNCH)
    if launch is None:
        raise ImageError(
            f"{_LAUNCH} is not installed, which runs GStreamer pipelines; on Debian, Ubuntu and "
            "Jetson type: apt install gstreamer1.0-tools gstreamer1.0-plugins-base "
            "gstreamer1.0-plugins-good"
        )
    return launch
