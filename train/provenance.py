"""Where a result comes from: the commit, the versions, and which pictures."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runtime.version import __version__
from train.data.layouts import Pictures

_LIBRARIES = ("numpy", "opencv-python", "onnxruntime", "scikit-image", "scipy", "torch")

# A public set of tens of thousands of pictures is known by its own name; its list would be longer
# than the weights, and take minutes to make.
MOST_LISTED = 1000


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


def checksum_of(path: Path | None) -> str | None:
    """sha256 of the file ``path``, which was read before; None for none."""
    return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()


def fingerprint(pictures: Pictures) -> str:
    """sha256 over the files' names: which pictures, not where they lay."""
    names = "\n".join(path.name for path in pictures.sharp)
    return hashlib.sha256(names.encode()).hexdigest()


def files_of(pictures: Pictures) -> dict[str, Path]:
    """Every file that ``pictures`` are made of, once, by its path below their common folder."""
    windows = pictures.windows or ()
    twins = (*(pictures.blurred or ()), *(path for window in windows for path in window))
    paths = dict.fromkeys((*pictures.sharp, *twins))
    root = os.path.commonpath([path.parent.absolute() for path in paths])
    return {path.absolute().relative_to(root).as_posix(): path for path in paths}


def list_files(pictures: Pictures) -> dict[str, str]:
    """sha256 of every file of ``pictures`` by name; {} where they are more than ``MOST_LISTED``.

    Files that are not there are left to training, which names them.
    """
    if len(pictures) > MOST_LISTED:
        return {}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files_of(pictures).items()
        if path.is_file()
    }


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 (fixed arguments)
        ["git", "-C", str(root), *arguments],  # noqa: S607 (the user's git)
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
