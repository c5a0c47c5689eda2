"""DvSR bundles run by the C++ library: ``Session(bundle).deblur(image)``, without Python's loop."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from pathlib import Path


def _load_onnxruntime() -> None:
    """Load the library inside the installed onnxruntime, which no search path leads to.

    The name that the wheel gives the file is not the one that programs are linked to, so it is
    found only when it is in memory already.
    """
    found = importlib.util.find_spec("onnxruntime")
    if found is None or found.origin is None:
        raise ImportError(
            "dvsr_native needs ONNX Runtime; type: pip install onnxruntime (or onnxruntime-gpu)"
        )
    for library in sorted(Path(found.origin).with_name("capi").glob("libonnxruntime.so.*")):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


# Official builds of ONNX Runtime from 1.29 on tell Microsoft that they run, unless this is set.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
_load_onnxruntime()

from dvsr_native._dvsr import DvsrError, Session, engines, normals  # noqa: E402 (needs the above)

__all__ = ["DvsrError", "Session", "engines", "normals"]
