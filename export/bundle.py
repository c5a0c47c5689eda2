"""Write a bundle: everything into a temporary directory beside it, checked there, then renamed."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from runtime.bundle import FORMAT, MANIFEST, TABLES, Bundle, FileEntry, Manifest, Tables, sha256
from runtime.errors import BundleError, OutputError
from runtime.files import to_json, write_whole
from runtime.version import __version__

SEAL = "checked.json"


def write_bundle(
    target: Path,
    manifest: Manifest,
    tables: Tables,
    files: dict[str, bytes],
    prove: Callable[[Path, Manifest], tuple[Manifest, dict[str, bytes]]],
) -> Path:
    """Write the bundle ``target`` whole, or leave what was there.

    ``prove`` is given the finished temporary directory and the manifest, may raise to refuse it,
    and returns the manifest with what it measured and files to add (the report).
    ``manifest.files`` is filled in here. Raises BundleError.
    """
    beside = _beside(target)
    try:
        beside.chmod(0o755)
        files = {**files, TABLES: to_json(tables)}
        _fill(beside, manifest, files)
        manifest, added = prove(beside, manifest)
        _fill(beside, manifest, {**files, **added})
        _swap(beside, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def _unwritable(target: Path, error: OSError) -> BundleError:
    return BundleError(
        f"cannot write {target}: {error.strerror or error}; make room there, or choose another "
        "output"
    )


def check_target(target: Path) -> None:
    """Raise BundleError where no bundle could be written to ``target``; nothing is left there."""
    _beside(target).rmdir()


def _beside(target: Path) -> Path:
    """A new temporary directory beside ``target``, to be renamed to it; raises BundleError."""
    if target.exists() and not (target / MANIFEST).is_file():
        raise BundleError(
            f"{target} exists and is no bundle (no {MANIFEST} in it); choose another output"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        raise _unwritable(target, error) from error


def _fill(directory: Path, manifest: Manifest, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (directory / name).write_bytes(data)
    entries = {name: FileEntry(len(data), sha256(data)) for name, data in sorted(files.items())}
    complete = msgspec.structs.replace(manifest, format=FORMAT, files=entries)
    (directory / MANIFEST).write_bytes(to_json(complete))


def _swap(beside: Path, target: Path) -> None:
    """Put ``beside`` in the place of ``target``; a directory cannot be renamed over another."""
    if not target.exists():
        beside.rename(target)
        return
    old = beside.with_name(f"{beside.name}.old")
    target.rename(old)
    try:
        beside.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old)


def to_report(value: object) -> bytes:
    """``report.json``: the comparison and the machine it ran on."""
    return to_json({"machine": _machine(), "parity": value})


def to_seal(
    bundle: Bundle,
    *,
    reference: str,
    pictures: str,
    tolerances: object,
    engines: object,
    ranges: object,
) -> bytes:
    """``checked.json``: which graphs were held against what, on what, and how far they were."""
    manifest = bundle.manifest
    graphs = {
        graph.file: manifest.files[graph.file] for graph in (manifest.predictor, manifest.step)
    }
    return to_json(
        {
            "made_by": f"dvsr-edge {__version__}",
            "machine": _machine(),
            "graphs": {name: entry.sha256 for name, entry in graphs.items()},
            "precision": manifest.precision,
            "reference": reference,
            "pictures": pictures,
            "tolerances": tolerances,
            "engines": engines,
            "activations": ranges,
        }
    )


def _machine() -> dict[str, str]:
    return {"python": platform.python_version(), "machine": platform.machine()}


def seal(bundle: Bundle, data: bytes) -> None:
    """Put ``checked.json`` into the bundle; at every moment the bundle is whole.

    Raises OutputError where it cannot be written.
    """
    unseal(bundle)
    write_whole(bundle.path(SEAL), data)
    _list_seal(bundle, FileEntry(len(data), sha256(data)))


def unseal(bundle: Bundle) -> None:
    """Take an earlier ``checked.json`` away; raises OutputError where it cannot be."""
    if SEAL in bundle.manifest.files:
        _list_seal(bundle, None)
    try:
        bundle.path(SEAL).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot remove {bundle.path(SEAL)}: {error.strerror}; copy the bundle to where you "
            "may write"
        ) from error


def _list_seal(bundle: Bundle, entry: FileEntry | None) -> None:
    """Bring the manifest's list of files up to date; every other entry stays as it is."""
    path = bundle.path(MANIFEST)
    manifest: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    manifest["files"].pop(SEAL, None)
    if entry is not None:
        manifest["files"][SEAL] = msgspec.to_builtins(entry)
    write_whole(path, to_json(manifest))
