"""Run DvSR bundles: ``runtime.deblur(image)``, or a ``Session`` for many pictures.

Importing this package costs numpy and msgspec; engines and OpenCV are imported when first used.
"""

import os
from typing import TYPE_CHECKING

from runtime.errors import (
    BundleError,
    DvsrError,
    EngineError,
    ImageError,
    OptionError,
    OutputError,
)
from runtime.images import to_uint8
from runtime.one_call import deblur
from runtime.session import Session
from runtime.version import __version__

if TYPE_CHECKING:
    from runtime.camera import CameraPipeline

# Official builds of ONNX Runtime from 1.29 on tell Microsoft which models run where, unless this is
# set when they are imported. Whoever wants that says so with another value.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "BundleError",
    "CameraPipeline",
    "DvsrError",
    "EngineError",
    "ImageError",
    "OptionError",
    "OutputError",
    "Session",
    "__version__",
    "deblur",
    "to_uint8",
]


def __getattr__(name: str) -> object:
    # Cameras need OpenCV; most who import this package read no video.
    if name == "CameraPipeline":
        from runtime.camera import CameraPipeline

        return CameraPipeline
    raise AttributeError(f"module 'runtime' has no attribute '{name}'")
