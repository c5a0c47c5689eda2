"""Libraries that only exporting needs: where one is missing, the extra that brings it is named."""

from __future__ import annotations

from train import extras

TRACING = ("torch", "safetensors", "onnx", "onnxscript")


def require(*modules: str, extra: str = "export") -> None:
    """Raise MissingExtraError for the first of ``modules`` that is not installed."""
    extras.require(*modules, extra=extra)
