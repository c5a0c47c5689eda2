"""Sampling presets into a finished bundle: new tables, new checksums, nothing else touched."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from runtime.bundle import MANIFEST, TABLES, Bundle, FileEntry, Preset, Tables, open_bundle, sha256
from runtime.errors import OutputError
from runtime.files import to_json, write_whole
from runtime.samplers import COLUMNS, Prediction, SamplerConfig, compile_table


def compile_preset(
    summary: str,
    samples: int,
    sampler: SamplerConfig,
    prediction: Prediction,
    *,
    self_ensemble: bool = False,
    strength: float = 1.0,
) -> Preset:
    """A preset with its table, for a network that predicts ``prediction``."""
    table = compile_table(sampler, prediction)
    rows = tuple(tuple(float(value) for value in row) for row in table.rows)
    return Preset(summary, samples, sampler, table.start, rows, self_ensemble, strength)


def write_presets(directory: Path, presets: Mapping[str, Preset]) -> Bundle:
    """Add ``presets`` to the bundle in ``directory``, replacing those of the same name.

    The bundle is copied beside its place, changed and opened there, and put in its place, so that a
    failure leaves the old one. Raises BundleError, and OutputError where it cannot be written.
    """
    bundle = open_bundle(directory)
    tables = to_json(Tables(COLUMNS, {**bundle.presets, **presets}))
    files = {**bundle.manifest.files, TABLES: FileEntry(len(tables), sha256(tables))}
    manifest = to_json(msgspec.structs.replace(bundle.manifest, files=files))
    try:
        beside = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
        try:
            copy = shutil.copytree(directory, beside / "new")
            write_whole(copy / TABLES, tables)
            write_whole(copy / MANIFEST, manifest)
            open_bundle(copy)
            _swap(copy, directory, beside / "old")
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"cannot write {directory}: {error.strerror}; copy the bundle to a place of yours"
        ) from error
    return open_bundle(directory)


def _swap(new: Path, target: Path, old: Path) -> None:
    """Put ``new`` in the place of ``target``; a directory cannot be renamed over another."""
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
