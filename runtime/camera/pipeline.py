"""The pipeline: a reading thread, a deblurring thread, and writing in the caller's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from runtime.camera.config import CameraConfig
from runtime.camera.deblurring import Deblurred, Deblurring, SessionLike
from runtime.camera.frames import DEFAULT_FPS, Frame, Sink, Source
from runtime.camera.live import BackOff, Paced, Primed, Reconnecting, Say
from runtime.camera.queues import StageQueue
from runtime.camera.sinks import SinkSpec, open_sink
from runtime.camera.sources import open_source
from runtime.camera.statistics import Statistics, Summary

SourceSpec = int | str | Path | Source | Callable[[], Source]

_LINE_S = 1.0
_JOIN_S = 20.0  # beyond the timeouts of the sources
_DONE_FRAMES = 2  # room between deblurring and writing: enough to overlap, little to go stale


def _silent(_: str) -> None:
    """Say nothing."""


class CameraPipeline:
    """Frames from ``source``, deblurred, into ``sink``; ``run`` does it, once.

    ``source`` is a V4L2 index or device, a video file, a URL, a GStreamer pipeline, a folder of
    frames, a ``Source``, or a function that opens one, and opens it again. ``sink`` is a video
    file, a folder, "window", "null", a GStreamer pipeline, a function that takes each ``Frame``, or
    a ``Sink``. ``session`` overrides the config's ``bundle``, ``engine`` and ``memory_mib`` and is
    left open. ``say`` gets events, ``live`` a line of state every second. Order and timestamps are
    kept, and all frames have the same noise, so that a still scene does not flicker.
    """

    def __init__(
        self,
        source: SourceSpec,
        sink: SinkSpec = "null",
        *,
        session: SessionLike | None = None,
        config: CameraConfig | None = None,
        say: Say = _silent,
        live: Say = _silent,
    ) -> None:
        self._source_spec = source
        self._sink_spec = sink
        self._session = session
        self._config = config or CameraConfig()
        self._say = say
        self._live = live
        self._clock = time.perf_counter
        self._stopping = threading.Event()
        self._ended_by = "source"
        self._failures: list[BaseException] = []
        self._waiting: StageQueue[Frame] = StageQueue(1)
        self._done: StageQueue[Deblurred] = StageQueue(_DONE_FRAMES)
        self._frames_in = 0
        self._statistics = Statistics(self._config.budget_ms)

    def stop(self) -> None:
        """End the run: frames on their way still come out. Safe in signal handlers and threads."""
        if not self._stopping.is_set():
            self._ended_by = "stop"
        self._stopping.set()
        # The source may be waiting for a frame that never comes: what was read is enough.
        self._waiting.close()

    def run(self) -> Summary:
        """Run until the source ends, ``stop`` is called, or a stage fails; returns what happened.

        Raises what the failing stage raised (a DvsrError for everything foreseeable), once what had
        been written is finished.
        """
        with ExitStack() as stack:
            source = self._open_source()
            reader = threading.Thread(target=self._read, name="camera read", daemon=True)
            stack.callback(_close_after, reader, source)
            drops = self._drops(source)
            fps = self._config.fps or source.fps or DEFAULT_FPS
            sink = stack.enter_context(closing(open_sink(self._sink_spec, fps, keep_time=drops)))
            deblurring = Deblurring(self._session, self._config, self._say, self._clock)
            self._deblurring = stack.enter_context(closing(deblurring))
            self._say(f"engine {deblurring.engine}; {source.name} -> {sink.name}")
            self._source = self._prime(source, drops)
            room = self._config.queue_frames or (1 if drops else 4)
            self._waiting = StageQueue(room, drop_oldest=drops)
            began_s = self._clock()
            self._run_stages(reader, sink, budget_latency=drops)
            seconds = self._clock() - began_s
        if self._failures:
            raise self._failures[0]
        return self._summary(source, sink, drops, seconds)

    # What the stages work with.

    def _open_source(self) -> Source:
        spec = self._source_spec
        if isinstance(spec, int | str | Path):
            opened: Callable[[], Source] = partial(open_source, spec, fps=self._config.fps)
        elif callable(spec):
            opened = spec
        else:
            return spec
        source = opened()
        if not source.live:
            return source
        return Reconnecting(source, opened, self._stopping.wait, self._say, BackOff())

    def _drops(self, source: Source) -> bool:
        if self._config.policy == "auto":
            return source.live
        return self._config.policy == "drop-oldest"

    def _prime(self, source: Source, drops: bool) -> Source:
        """The source as the stages see it, after the budget's choices were measured on a frame.

        Measuring takes a while: it must not count as the latency of the first frames.
        """
        primed = source
        if self._deblurring.measures:
            first = source.read()
            if first is not None:
                self._deblurring.prepare(first.image)
                primed = source if source.live else Primed(source, first)
        return Paced(primed, self._clock, self._stopping.wait) if drops else primed

    # The stages.

    def _run_stages(self, reader: threading.Thread, sink: Sink, *, budget_latency: bool) -> None:
        deblurrer = threading.Thread(target=self._deblur, name="camera deblur", daemon=True)
        try:
            reader.start()
            deblurrer.start()
            self._write(sink, budget_latency=budget_latency)
        finally:
            self._stopping.set()
            self._waiting.cancel()
            self._done.cancel()
            deblurrer.join()

    def _read(self) -> None:
        try:
            self._read_frames()
        except BaseException as error:
            self._failures.append(error)
        finally:
            self._waiting.close()

    def _read_frames(self) -> None:
        first_s: float | None = None
        while not self._stopping.is_set():
            if self._frames_in == self._config.max_frames:
                self._ended_by = "limit"
                return
            reading = self._source.read()
            if reading is None:
                return
            now_s = self._clock()
            first_s = now_s if first_s is None else first_s
            time_ms = reading.timestamp_ms
            time_ms = 1000.0 * (now_s - first_s) if time_ms is None else time_ms
            if not self._waiting.put(Frame(reading.image, self._frames_in, time_ms, now_s)):
                return
            self._frames_in += 1

    def _deblur(self) -> None:
        try:
            for frame in self._waiting:
                if not self._done.put(self._deblurring.deblur(frame)):
                    break
        except BaseException as error:
            self._failures.append(error)
            self._waiting.cancel()
        finally:
            self._done.close()

    def _write(self, sink: Sink, *, budget_latency: bool) -> None:
        line_s = self._clock()
        for done in self._done:
            more = sink.write(done.frame)
            now_s = self._clock()
            latency_ms = 1000.0 * (now_s - done.frame.arrived_s)
            # Where frames wait in line on purpose, the budget is for the work on them.
            self._account(done, now_s, latency_ms, latency_ms if budget_latency else done.deblur_ms)
            if not more:
                self._ended_by = "sink"
                return
            if now_s - line_s >= _LINE_S:
                line_s = now_s
                self._live(self._line())

    def _account(
        self, done: Deblurred, now_s: float, latency_ms: float, budgeted_ms: float
    ) -> None:
        self._statistics.written(
            done.frame.size,
            done.plan,
            written_s=now_s,
            latency_ms=latency_ms,
            deblur_ms=done.deblur_ms,
            budgeted_ms=budgeted_ms,
        )
        if self._deblurring.observe(done, budgeted_ms):
            self._statistics.plan_changes += 1

    # What is said about it.

    def _line(self) -> str:
        dropped, plan = self._waiting.dropped, self._deblurring.plan
        return self._statistics.line(self._frames_in, dropped, plan)

    def _summary(self, source: Source, sink: Sink, drops: bool, seconds: float) -> Summary:
        statistics = self._statistics
        return Summary(
            source=source.name,
            sink=sink.name,
            engine=self._deblurring.engine,
            bundle=self._deblurring.bundle,
            policy="drop-oldest" if drops else "block",
            ended_by=self._ended_by,
            frames_in=self._frames_in,
            frames_out=statistics.frames_out,
            frames_dropped=self._waiting.dropped,
            reconnections=source.reconnections if isinstance(source, Reconnecting) else 0,
            seconds=seconds,
            fps=statistics.frames_out / seconds,
            latency_ms=statistics.latency.summary(),
            deblur_ms=statistics.deblur.summary(),
            plans=dict(statistics.plans),
            plan_changes=statistics.plan_changes,
            sizes=dict(statistics.sizes),
            budget_ms=self._config.budget_ms,
            over_budget=None if self._config.budget_ms is None else statistics.over_budget,
        )


def _close_after(reader: threading.Thread, source: Source) -> None:
    """Close ``source`` once its reader has ended; one that hangs in a driver keeps it."""
    if reader.ident is not None:
        reader.join(_JOIN_S)
    if not reader.is_alive():
        source.close()
