from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from light_session import numbered

from runtime import OptionError, OutputError
from runtime.camera import Frame
from runtime.camera.opencv import fit
from runtime.camera.sinks import ConstantRate, open_sink


def frames(
    count: int, *, fps: float = 10.0, height_px: int = 24, width_px: int = 32
) -> list[Frame]:
    """Flat frames whose value rises by 20."""
    pictures: Iterator[np.ndarray] = numbered(count, height_px, width_px)
    return [
        Frame(20 * picture, number, 1000.0 * number / fps, 0.0)
        for number, picture in enumerate(pictures)
    ]


def values(path: Path) -> list[int]:
    capture = cv2.VideoCapture(str(path))
    return [
        round(float(image.mean())) for there, image in iter(capture.read, (False, None)) if there
    ]


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".mov"])
def test_a_video_holds_all_frames_in_order_at_their_rate(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    sink = open_sink(path, 10.0, keep_time=False)
    assert all(sink.write(frame) for frame in frames(8))
    sink.close()
    # Lossy codecs keep flat grey to within a few levels.
    assert np.allclose(values(path), 20 * np.arange(8), atol=4)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == 10.0
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_video_appears_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")
    sink = open_sink(path, 10.0, keep_time=False)
    sink.write(frames(1)[0])
    assert path.read_bytes() == b"old"
    sink.close()
    assert len(values(path)) == 1


def test_without_frames_there_is_no_video(tmp_path: Path) -> None:
    open_sink(tmp_path / "out.mp4", 10.0, keep_time=False).close()
    assert list(tmp_path.iterdir()) == []


def test_dropped_frames_do_not_speed_a_video_up(tmp_path: Path) -> None:
    path = tmp_path / "out.avi"
    sink = open_sink(path, 10.0, keep_time=True)
    for frame in frames(8):
        if frame.index not in (2, 3, 4):
            sink.write(frame)
    sink.close()
    assert np.allclose(values(path), [0, 20, 100, 100, 100, 100, 120, 140], atol=4)


def test_jitter_neither_doubles_nor_loses_frames() -> None:
    rate = ConstantRate(10.0)
    jitter = np.random.default_rng(0).uniform(-30.0, 30.0, 200)
    copies = [rate.copies(100.0 * number + jitter[number]) for number in range(200)]
    assert abs(sum(copies) - 200) <= 1
    assert max(copies) <= 2


def test_an_hour_without_frames_does_not_cost_an_hour_of_copies() -> None:
    rate = ConstantRate(10.0)
    assert [rate.copies(time) for time in (0.0, 100.0, 3.6e6, 3.6e6 + 100.0)] == [1, 1, 51, 1]


def test_a_frame_of_another_size_is_fitted_into_the_video(tmp_path: Path) -> None:
    path = tmp_path / "out.avi"
    sink = open_sink(path, 10.0, keep_time=False)
    sink.write(frames(1)[0])
    sink.write(Frame(np.full((48, 32, 3), 200, np.uint8), 1, 100.0, 0.0))
    sink.close()
    capture = cv2.VideoCapture(str(path))
    capture.read()
    _, image = capture.read()
    assert image.shape == (24, 32, 3)
    # Its proportions are kept, so there are bars at the sides, soft where JPEG's blocks end.
    assert image[:, :8].max() < 40
    assert image[:, 12:20].min() > 160


def test_fitting_keeps_proportions() -> None:
    wide = fit(np.full((10, 40, 3), 9, np.uint8), 20, 20)
    assert wide.shape == (20, 20, 3)
    assert (wide[:7].max(), wide[8:12].min(), wide[13:].max()) == (0, 9, 0)


def test_a_folder_gets_pictures_and_their_times(tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "frames"), 10.0, keep_time=True)
    for frame in frames(3):
        sink.write(frame)
    sink.close()
    with (tmp_path / "frames" / "timestamps.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))
    assert [row["timestamp_ms"] for row in rows] == ["0.000", "100.000", "200.000"]
    pictures = [cv2.imread(str(tmp_path / "frames" / row["file"])) for row in rows]
    assert [int(picture[0, 0, 0]) for picture in pictures] == [0, 20, 40]


def test_a_function_gets_every_frame_and_may_stop_the_run() -> None:
    seen: list[int] = []

    def take(frame: Frame) -> bool:
        seen.append(frame.index)
        return frame.index < 1

    sink = open_sink(take, 10.0, keep_time=False)
    assert [sink.write(frame) for frame in frames(2)] == [True, False]
    assert seen == [0, 1]


def test_a_function_that_returns_nothing_goes_on() -> None:
    assert open_sink(lambda _: None, 10.0, keep_time=False).write(frames(1)[0])


@pytest.mark.parametrize(
    ("spec", "error", "cause"),
    [
        ("out.txt", OptionError, "out.txt"),
        ("missing/out.mp4", OutputError, "no folder missing"),
        ("full", OutputError, "not empty"),
        ("window", OptionError, "no display"),
    ],
)
def test_a_sink_that_cannot_be_is_refused_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spec: str,
    error: type[Exception],
    cause: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "old.png").write_bytes(b"")
    with pytest.raises(error, match=re.escape(cause)):
        open_sink(spec, 10.0, keep_time=False)
