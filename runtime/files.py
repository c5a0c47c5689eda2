"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from runtime.errors import OutputError


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path`` and rename it there, so that a failure leaves the old file.

    Raises OutputError where the place cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as f:
            beside = Path(f.name)
            try:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
                # A temporary file is private; what people asked for gets the usual permissions.
                beside.chmod(0o666 & ~_umask())
                beside.replace(path)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}; choose another output"
        ) from error


def to_json(value: Any) -> bytes:
    """``value`` as JSON for people, one field a line, ending in a line feed."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
