"""Where a result comes from: the commit, the versions, and which pictures."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runtime.version import __version__
from train.layouts import Pictures

_LIBRARIES = ("numpy", "opencv-python", "onnxruntime", "scikit-image", "torch")


def commit() -> str | None:
    """The checkout's commit, ending in "+changes" where files differ from it; None outside git."""
    root = Path(__file__).resolve().parents[1]
    try:
        found = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{found}+changes" if changed else found


def versions() -> dict[str, str]:
    """Versions of what results depend on, by name, of the libraries that are installed."""
    found = {"dvsr-edge": __version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def fingerprint(pictures: Pictures) -> str:
    """sha256 over the files' names: which pictures, not where they lay."""
    names = "\n".join(path.name for path in pictures.sharp)
    return hashlib.sha256(names.encode()).hexdigest()


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 (fixed arguments)
        ["git", "-C", str(root), *arguments],  # noqa: S607 (the user's git)
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
