"""The pipeline whole: with a light session, and end to end through a real engine."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from light_session import Image, LightSession, ListSource, numbered

import runtime
from runtime import EngineError, ImageError, OptionError, OutputError
from runtime.camera import (
    CameraConfig,
    CameraPipeline,
    Frame,
    Reading,
    Source,
    SourceLostError,
)
from runtime.camera.__main__ import stopping_on_signals


def resident_mib() -> float:
    """What the process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def test_a_file_loses_no_frame_and_keeps_order_and_times() -> None:
    frames: list[Frame] = []
    source = ListSource(numbered(40), fps=20.0)
    summary = CameraPipeline(source, frames.append, session=LightSession()).run()
    assert [frame.index for frame in frames] == list(range(40))
    assert [frame.timestamp_ms for frame in frames] == [50.0 * number for number in range(40)]
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [255 - n for n in range(40)]
    assert (summary.frames_in, summary.frames_out, summary.frames_dropped) == (40, 40, 0)
    assert (summary.policy, summary.ended_by) == ("block", "source")
    assert source.closed


def test_a_slow_engine_on_a_live_source_drops_old_frames_and_keeps_order() -> None:
    class Camera(ListSource):
        def read(self) -> Reading | None:
            time.sleep(0.002)
            return super().read()

    frames: list[Frame] = []
    slow = LightSession(lambda steps, samples: time.sleep(0.02))
    camera = Camera(numbered(60), live=True)
    summary = CameraPipeline(camera, frames.append, session=slow).run()
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    assert indices[-1] == 59  # the newest is never the one that gives way
    assert summary.frames_dropped > 0
    assert summary.frames_in == summary.frames_out + summary.frames_dropped == 60


def test_a_live_source_can_be_made_to_wait() -> None:
    slow = LightSession(lambda steps, samples: time.sleep(0.002))
    config = CameraConfig(policy="block")
    source = ListSource(numbered(20), live=True)
    summary = CameraPipeline(source, session=slow, config=config).run()
    assert (summary.frames_out, summary.frames_dropped) == (20, 0)


def test_the_three_stages_overlap() -> None:
    """Each stage waits for both others inside one frame's time; one after another would hang."""
    meeting = threading.Barrier(3, timeout=20)
    met: list[int] = []

    def meet() -> None:
        # The stages work on different frames: the first and the last frames meet no one.
        try:
            meeting.wait()
            met.append(1)
        except threading.BrokenBarrierError:
            pass

    class Camera(ListSource):
        reads = 0

        def read(self) -> Reading | None:
            self.reads += 1
            if self.reads == 3:
                meet()
            return super().read()

    deblurs: list[int] = []
    writes: list[int] = []

    def work(steps: int | None, samples: int | None) -> None:
        deblurs.append(1)
        if len(deblurs) == 2:
            meet()

    def write(frame: Frame) -> None:
        writes.append(1)
        if len(writes) == 1:
            meet()

    CameraPipeline(Camera(numbered(5)), write, session=LightSession(work)).run()
    assert len(met) == 3


def test_a_still_scene_gives_identical_frames(small_bundle: Path) -> None:
    picture = skimage.data.astronaut()[100:132, 100:140]
    frames: list[Image] = []
    config = CameraConfig(
        bundle=str(small_bundle), engine="onnx-cpu", preset="realtime", samples=2, seed=7
    )
    source = ListSource([picture.copy() for _ in range(4)])
    CameraPipeline(source, lambda frame: frames.append(frame.image), config=config).run()
    assert len(frames) == 4
    assert all(np.array_equal(frame, frames[0]) for frame in frames)


_BITS = 5
_BLOCK_PX = 16


def with_number(picture: Image, number: int) -> Image:
    """``picture`` with its number as black and white blocks along the top, big enough to survive
    an encoder and a network.
    """
    marked = picture.copy()
    for bit in range(_BITS):
        value = 255 if number >> bit & 1 else 0
        marked[:_BLOCK_PX, bit * _BLOCK_PX : (bit + 1) * _BLOCK_PX] = value
    return marked


def read_number(picture: Image) -> int:
    middle = _BLOCK_PX // 2
    bits = [
        float(picture[middle - 2 : middle + 2, at - 2 : at + 2].mean()) > 127.5
        for at in range(middle, _BITS * _BLOCK_PX, _BLOCK_PX)
    ]
    return sum(bit << place for place, bit in enumerate(bits))


def panning(count: int) -> Iterator[Image]:
    """A camera that pans over a public-domain photograph (an astronaut; NASA), 96x64."""
    photograph = skimage.data.astronaut()
    for number in range(count):
        window = photograph[100:164, 60 + 4 * number : 156 + 4 * number]
        yield with_number(window, number)


def test_an_encoded_video_goes_through_the_real_engine_whole(
    tmp_path: Path, small_bundle: Path
) -> None:
    blurred, sharp = tmp_path / "blurred.mp4", tmp_path / "sharp.mp4"
    writer = cv2.VideoWriter(str(blurred), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (96, 64))
    for picture in panning(20):
        writer.write(picture[:, :, ::-1])
    writer.release()
    config = CameraConfig(bundle=str(small_bundle), engine="onnx-cpu", preset="realtime")
    summary = CameraPipeline(blurred, sharp, config=config).run()
    assert (summary.frames_in, summary.frames_out, summary.frames_dropped) == (20, 20, 0)
    assert summary.engine.startswith("onnx-cpu")
    assert summary.plans == {"T=2": 20}
    capture = cv2.VideoCapture(str(sharp))
    images = [image for there, image in iter(capture.read, (False, None)) if there]
    assert [read_number(image) for image in images] == list(range(20))
    assert images[0].shape == (64, 96, 3)
    assert capture.get(cv2.CAP_PROP_FPS) == 25.0


def test_a_frame_that_changes_its_size_is_handled() -> None:
    frames: list[Frame] = []
    pictures = [*numbered(3, 12, 16), *numbered(3, 30, 20), *numbered(2, 12, 16)]
    summary = CameraPipeline(ListSource(pictures), frames.append, session=LightSession()).run()
    assert [frame.size for frame in frames] == [(12, 16)] * 3 + [(30, 20)] * 3 + [(12, 16)] * 2
    assert summary.sizes == {"16x12": 5, "20x30": 3}


def test_a_vanished_live_source_is_opened_again() -> None:
    a, b = numbered(2)
    openings = iter([[a, SourceLostError("the camera is gone")], [b]])
    said: list[str] = []

    def opened() -> Source:
        return ListSource(next(openings), live=True)

    config = CameraConfig(policy="block")
    summary = CameraPipeline(opened, session=LightSession(), config=config, say=said.append).run()
    assert (summary.frames_out, summary.reconnections) == (2, 1)
    assert any("trying again" in text for text in said)


def test_a_file_that_breaks_off_ends_the_run_and_what_was_written_is_finished(
    tmp_path: Path,
) -> None:
    pictures = [*numbered(5, 24, 32), ImageError("frame 5 is damaged")]
    path = tmp_path / "out.avi"
    with pytest.raises(ImageError, match="frame 5"):
        CameraPipeline(ListSource(pictures), path, session=LightSession()).run()
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == 5


def test_an_engine_that_fails_ends_the_run() -> None:
    calls: list[int] = []

    def work(steps: int | None, samples: int | None) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise EngineError("the device is gone")

    frames: list[Frame] = []
    source = ListSource(numbered(500))
    with pytest.raises(EngineError, match="device is gone"):
        CameraPipeline(source, frames.append, session=LightSession(work)).run()
    assert [frame.index for frame in frames] == [0, 1]
    assert source.closed


def test_a_sink_that_fails_ends_the_run() -> None:
    def full(frame: Frame) -> None:
        raise OutputError("the disk is full")

    source = ListSource(numbered(500))
    with pytest.raises(OutputError, match="disk is full"):
        CameraPipeline(source, full, session=LightSession()).run()
    assert source.closed


def test_a_sink_may_end_the_run() -> None:
    source = ListSource(repeat(next(numbered(1))))
    summary = CameraPipeline(source, lambda frame: frame.index < 2, session=LightSession()).run()
    assert (summary.frames_out, summary.ended_by) == (3, "sink")


def test_the_number_of_frames_can_be_limited() -> None:
    source = ListSource(repeat(next(numbered(1))))
    config = CameraConfig(max_frames=7)
    summary = CameraPipeline(source, session=LightSession(), config=config).run()
    assert (summary.frames_in, summary.frames_out, summary.ended_by) == (7, 7, "limit")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_the_pipeline_and_finishes_the_file(
    tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "out.avi"
    calls: list[int] = []

    def work(steps: int | None, samples: int | None) -> None:
        calls.append(1)
        if len(calls) == 5:
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            time.sleep(0.1)

    source = ListSource(repeat(next(numbered(1, 24, 32))))
    pipeline = CameraPipeline(source, path, session=LightSession(work))
    before = signal.getsignal(number)
    with stopping_on_signals(pipeline):
        summary = pipeline.run()
    assert summary.ended_by == "stop"
    # Whatever was read before the signal came out.
    assert summary.frames_out == summary.frames_in >= 5
    written = cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)
    assert written == summary.frames_out
    assert signal.getsignal(number) is before


def test_a_source_that_hangs_does_not_keep_the_frames_before_it() -> None:
    released = threading.Event()

    class Hanging(ListSource):
        def read(self) -> Reading | None:
            reading = super().read()
            if reading is None:
                released.wait(20)
            return reading

    frames: list[Frame] = []

    def take(frame: Frame) -> None:
        frames.append(frame)
        if len(frames) == 3:
            pipeline.stop()
            released.set()

    pipeline = CameraPipeline(
        Hanging(numbered(3), live=True),
        take,
        session=LightSession(),
        config=CameraConfig(policy="block"),
    )
    assert pipeline.run().ended_by == "stop"
    assert len(frames) == 3


def test_a_budget_chooses_the_steps_and_says_so() -> None:
    """Deblurring takes 20 ms for each step: two of them fit nine tenths of 55 ms, three do not."""

    def work(steps: int | None, samples: int | None) -> None:
        time.sleep(0.02 * (steps or 0) * (samples or 1))

    said: list[str] = []
    config = CameraConfig(budget_ms=55.0, steps=10, samples=2)
    source = ListSource(numbered(4))
    summary = CameraPipeline(
        source, session=LightSession(work), config=config, say=said.append
    ).run()
    assert set(summary.plans) <= {"T=0", "T=1", "T=2"}  # 2 unless this machine is very busy
    assert summary.frames_out == 4
    assert any(text.startswith("budget 55 ms: T=") for text in said)
    assert summary.over_budget is not None


def test_with_a_budget_every_new_size_is_measured() -> None:
    said: list[str] = []
    pictures = [*numbered(2, 12, 16), *numbered(2, 30, 20)]
    config = CameraConfig(budget_ms=1e4, steps=1, samples=1)
    summary = CameraPipeline(
        ListSource(pictures), session=LightSession(), config=config, say=said.append
    ).run()
    assert sum(text.startswith("budget 10000 ms: T=1") for text in said) == 2
    assert summary.sizes == {"16x12": 2, "20x30": 2}


def test_with_a_budget_no_frame_of_a_file_is_lost_to_measuring() -> None:
    frames: list[Frame] = []
    config = CameraConfig(budget_ms=1e4, steps=1, samples=1)
    CameraPipeline(
        ListSource(numbered(3)), frames.append, session=LightSession(), config=config
    ).run()
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [255, 254, 253]


def test_a_budget_on_a_real_engine_measures_tiles_and_steps(small_bundle: Path) -> None:
    picture = skimage.data.astronaut()[:160, :160]
    said: list[str] = []
    config = CameraConfig(
        bundle=str(small_bundle), engine="onnx-cpu", preset="realtime", budget_ms=6e4, steps=1
    )
    source = ListSource([picture, picture])
    summary = CameraPipeline(source, config=config, say=said.append).run()
    assert summary.plans == {"T=1": 2}
    assert "tiles" in said[1]
    assert "in quarters of the frame" in said[1]
    assert said[2].startswith("budget 60000 ms: T=1")


def test_steps_out_of_range_are_refused_before_a_frame_is_read() -> None:
    source = ListSource([ImageError("read too early")])
    with pytest.raises(OptionError, match="0 to 500"):
        CameraPipeline(source, session=LightSession(), config=CameraConfig(steps=501)).run()


@pytest.mark.parametrize(
    "options",
    [
        {"budget_ms": 0.0},
        {"budget_ms": float("nan")},
        {"queue_frames": 0},
        {"fps": -1.0},
        {"max_frames": 0},
        {"policy": "newest"},
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        CameraConfig(**options)  # type: ignore[arg-type]


def test_memory_stays_flat_over_ten_thousand_frames() -> None:
    held: list[float] = []

    def note(frame: Frame) -> None:
        if frame.index in (1000, 9999):
            gc.collect()
            held.append(resident_mib())

    config = CameraConfig(engine="fake", preset="realtime", steps=1)
    summary = CameraPipeline(ListSource(numbered(10_000, 36, 64)), note, config=config).run()
    assert summary.frames_out == 10_000
    # 9000 frames of 7 KB would be 60 MiB; statistics fill arrays of 1 MiB page by page.
    assert held[1] - held[0] < 4.0


def test_the_live_line_comes_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.camera.pipeline._LINE_S", 0.0)
    lines: list[str] = []
    CameraPipeline(ListSource(numbered(3)), session=LightSession(), live=lines.append).run()
    assert len(lines) == 3
    assert "out 3  dropped 0" in lines[-1]


def test_the_front_door_leads_here() -> None:
    assert runtime.CameraPipeline is CameraPipeline
