"""Run DvSR bundles: ``runtime.deblur(image)``, or a ``Session`` for many pictures.

Importing this package costs numpy and msgspec; engines and OpenCV are imported when first used.
"""

from runtime.errors import (
    BundleError,
    DvsrError,
    EngineError,
    ImageError,
    OptionError,
    OutputError,
)
from runtime.images import to_uint8
from runtime.session import Session, deblur
from runtime.version import __version__

__all__ = [
    "BundleError",
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
