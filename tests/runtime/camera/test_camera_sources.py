from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from light_session import numbered

from runtime import ImageError
from runtime.camera.frames import Source
from runtime.camera.sources import open_source


def values(source: Source) -> Iterator[tuple[int, float | None]]:
    for reading in iter(source.read, None):
        yield round(float(reading.image.mean())), reading.timestamp_ms


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Eight frames of a value that rises by 20, 32x24, at 10 frames per second."""
    path = tmp_path / "rising.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (32, 24))
    for number in range(8):
        writer.write(np.full((24, 32, 3), 20 * number, np.uint8))
    writer.release()
    return path


def test_a_video_gives_its_frames_with_their_times(video: Path) -> None:
    source = open_source(video)
    assert (source.live, source.fps) == (False, 10.0)
    read = list(values(source))
    assert [time for _, time in read] == pytest.approx([100.0 * number for number in range(8)])
    # JPEG keeps flat grey to within two levels.
    assert np.allclose([value for value, _ in read], 20 * np.arange(8), atol=2)


def test_colours_come_as_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), np.full((24, 32, 3), (0, 0, 255), np.uint8))
    reading = open_source(tmp_path).read()
    assert reading is not None
    assert reading.image[0, 0].tolist() == [255, 0, 0]


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for number, picture in enumerate(numbered(12)):
        cv2.imwrite(str(tmp_path / f"frame{number}.png"), picture)
    (tmp_path / "notes.txt").write_text("no picture")
    read = list(values(open_source(str(tmp_path), fps=50.0)))
    assert read == [(number, 20.0 * number) for number in range(12)]


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ("gone.mp4", "no file or folder gone.mp4"),
        ("7", "/dev/video7"),
        ("/dev/video7", "/dev/video7"),
        ("rtsp://127.0.0.1:9/stream", "rtsp://127.0.0.1:9/stream"),
    ],
)
def test_what_cannot_be_opened_is_named(spec: str, cause: str) -> None:
    with pytest.raises(ImageError, match=re.escape(cause)):
        open_source(spec)


def test_a_file_that_is_no_video_is_refused_without_noise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(b"no video" * 100)
    with pytest.raises(ImageError, match=r"bad\.mp4 is no video"):
        open_source(path)
    assert capfd.readouterr().err == ""


def test_a_password_in_a_url_is_not_shown() -> None:
    with pytest.raises(ImageError, match="//127") as refusal:
        open_source("rtsp://me:secret@127.0.0.1:9/stream")
    assert "secret" not in str(refusal.value)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no pictures"):
        open_source(tmp_path)


def test_a_missing_back_end_is_named(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda _: False)
    with pytest.raises(ImageError, match="no FFmpeg back end"):
        open_source(video)
