"""Libraries that only some commands need: imported when used, and named where they are missing."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from runtime.errors import MissingExtraError

_TRAINING = ("torch", "safetensors", "tqdm")
_SHARING = "lightning_fabric"


def load(module: str, extra: str) -> Any:
    """Import the optional ``module``; raises MissingExtraError where it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise _missing(error.name or module, extra) from error


def require(*modules: str, extra: str) -> None:
    """Raise MissingExtraError for the first of ``modules`` that is not installed."""
    for module in modules:
        if find_spec(module) is None:
            raise _missing(module, extra)


def require_training(devices: int = 1) -> None:
    """Raise MissingExtraError where the libraries that training needs are not installed."""
    require(*_TRAINING, *([_SHARING] if devices > 1 else []), extra="train")


def _missing(module: str, extra: str) -> MissingExtraError:
    return MissingExtraError(
        f"the Python module '{module}' is not installed; type: pip install 'dvsr-edge[{extra}]'"
    )
