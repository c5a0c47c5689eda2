"""A camera behind a URL: a real server, read by the real FFmpeg."""

from __future__ import annotations

import numpy as np
from http_stream import camera
from light_session import LightSession

from runtime.camera import CameraConfig, CameraPipeline, Frame
from runtime.camera.sources import open_source


def test_a_camera_that_hangs_up_refuses_and_returns_is_read_on() -> None:
    frames: list[Frame] = []
    said: list[str] = []

    def take(frame: Frame) -> bool:
        frames.append(frame)
        return len(frames) < 15

    with camera(12, 0, 7) as url:
        config = CameraConfig(policy="block")
        pipeline = CameraPipeline(url, take, session=LightSession(), config=config, say=said.append)
        summary = pipeline.run()
    values = [255.0 - float(frame.image.mean()) for frame in frames]
    expected = [10.0 * number for number in (*range(12), *range(3))]
    # JPEG keeps flat grey to within two levels.
    assert np.allclose(values, expected, atol=2.0)
    assert [frame.index for frame in frames] == list(range(15))
    assert summary.reconnections == 1
    tries = [text.rpartition("; ")[2] for text in said[1:3]]
    assert tries == ["trying again in 0.5 s", "trying again in 1 s"]


def test_a_stream_without_length_is_live_and_timed_by_its_arrival() -> None:
    with camera(8) as url:
        source = open_source(url)
        reading = source.read()
        source.close()
    assert source.live
    assert reading is not None
    assert reading.timestamp_ms is None
