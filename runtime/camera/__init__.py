"""Camera pipelines: read, deblur and write video, three stages at once.

``python -m runtime.camera SOURCE -o SINK``, or ``CameraPipeline(source, sink).run()``. Importing
this package loads neither OpenCV nor an engine.
"""

from runtime.camera.config import CameraConfig
from runtime.camera.frames import Frame, Reading, Sink, Source, SourceLostError
from runtime.camera.pipeline import CameraPipeline
from runtime.camera.statistics import Latency, Summary

__all__ = [
    "CameraConfig",
    "CameraPipeline",
    "Frame",
    "Latency",
    "Reading",
    "Sink",
    "Source",
    "SourceLostError",
    "Summary",
]
