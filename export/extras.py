"""Libraries that only exporting needs: where one is missing, the extra that brings it is named."""

from __future__ import annotations

from importlib.util import find_spec

from runtime.errors import MissingExtraError

TRACING = ("torch", "safetensors", "onnx", "onnxscript")


def require(*modules: str, extra: str = "export") -> None:
    """Raise MissingExtraError for the first of ``modules`` that is not installed."""
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(
                f"the Python module '{module}' is not installed; "
                f"type: pip install 'dvsr-edge[{extra}]'"
            )
