from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from light_session import LightSession, numbered

from runtime import ImageError, OutputError
from runtime.camera import CameraPipeline, Frame, SourceLostError
from runtime.camera.gstreamer import first_error, is_live, sink_command, source_command
from runtime.camera.sinks import open_sink
from runtime.camera.sources import open_source

installed = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None,
    reason="gst-launch-1.0 is not installed (Debian: gstreamer1.0-tools, -plugins-base)",
)

TEST_PICTURES = "videotestsrc num-buffers=6 pattern=red ! video/x-raw,width=50,height=38"


@installed
@pytest.mark.parametrize("end", ["", " ! appsink", " ! appsink sync=false max-buffers=2"])
def test_test_pictures_arrive_whole(end: str) -> None:
    source = open_source(f"{TEST_PICTURES},framerate=30/1{end}")
    readings = list(iter(source.read, None))
    source.close()
    assert [reading.image.shape for reading in readings] == [(38, 50, 3)] * 6
    assert all(np.array_equal(reading.image[9, 9], [255, 0, 0]) for reading in readings)
    assert [reading.timestamp_ms for reading in readings] == pytest.approx(
        [1000.0 * number / 30.0 for number in range(6)]
    )
    assert (source.live, source.fps) == (False, 30.0)


@installed
def test_a_stream_runs_through_the_whole_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "out.rgba"
    summary = CameraPipeline(
        f"{TEST_PICTURES} ! appsink",
        # Four bytes a pixel: rows of any width are stored without padding.
        f"appsrc ! videoconvert ! video/x-raw,format=RGBA ! filesink location={path}",
        session=LightSession(),
    ).run()
    assert (summary.frames_in, summary.frames_out, summary.ended_by) == (6, 6, "source")
    images = np.fromfile(path, np.uint8).reshape(6, 38, 50, 4)
    # Inverted red is cyan.
    assert (images == [0, 255, 255, 255]).all()


@installed
@pytest.mark.parametrize(
    ("pipeline", "cause"),
    [
        ("nosuchelement ! appsink", "nosuchelement"),
        ("videotestsrc nosuchproperty=1 ! appsink", "nosuchproperty"),
        ("filesrc location=/gone.mp4 ! decodebin ! appsink", "not found"),
    ],
)
def test_a_pipeline_that_cannot_run_says_why(pipeline: str, cause: str) -> None:
    with pytest.raises(ImageError, match=cause):
        open_source(pipeline)


@installed
def test_a_pipeline_that_breaks_off_is_lost_and_not_at_its_end() -> None:
    source = open_source(f"{TEST_PICTURES} ! identity error-after=3 ! appsink")
    with pytest.raises(SourceLostError, match="stopped running"):
        list(iter(source.read, None))
    source.close()


@installed
def test_a_sink_that_fails_says_why(tmp_path: Path) -> None:
    sink = open_sink(f"appsrc ! filesink location={tmp_path}/no/out.rgb", 30.0, keep_time=False)

    def write_all() -> None:
        for number, picture in enumerate(numbered(20, 100, 100)):
            sink.write(Frame(picture, number, 0.0, 0.0))
        sink.close()

    with pytest.raises(OutputError, match="Could not open file"):
        write_all()


def test_missing_tools_are_named_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ImageError, match=r"apt install gstreamer1\.0-tools"):
        open_source("videotestsrc ! appsink")


@installed
def test_the_appsink_is_replaced_and_its_sync_kept() -> None:
    command = source_command("v4l2src device=/dev/video0 ! videoconvert ! appsink sync=true drop=1")
    assert "appsink" not in command
    assert "drop=1" not in command
    assert command[-3:] == ["fdsink", "name=dvsr_frames", "sync=true"]


@installed
def test_the_appsrc_is_replaced_by_frames_of_known_form() -> None:
    command = sink_command("appsrc is-live=true ! fakesink", 48, 64, Fraction(30000, 1001))
    assert "framerate=30000/1001" in command
    assert command[-1] == "fakesink"
    assert not any("appsrc" in word for word in command)


@pytest.mark.parametrize(
    ("pipeline", "live"),
    [
        ("v4l2src ! appsink", True),
        ("nvarguscamerasrc ! nvvidconv ! appsink", True),
        ("filesrc location=a.mp4 ! decodebin ! appsink", False),
        ("videotestsrc ! appsink", False),
        ("videotestsrc is-live=true ! appsink", True),
    ],
)
def test_cameras_are_live_and_files_are_not(pipeline: str, live: bool) -> None:
    assert is_live(pipeline) is live


def test_the_first_complaint_is_found() -> None:
    said = (
        "Setting pipeline to PAUSED ...\n"
        "ERROR: from element /GstPipeline:pipeline0/GstFileSrc:filesrc0: Resource not found.\n"
        "ERROR: pipeline doesn't want to preroll.\n"
    )
    assert first_error(said) == "Resource not found"
    assert first_error("all is well") is None
