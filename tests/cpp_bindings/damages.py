"""Copies of bundles that something happened to."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path


def edit_manifest(bundle: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def with_working_bytes(bundle: Path, target: Path, bytes_per_px: int) -> Path:
    """A copy whose tiles have the size that ``bytes_per_px`` gives."""
    shutil.copytree(bundle, target)
    edit_manifest(target, lambda m: m["tiling"].update(working_bytes_per_px=bytes_per_px))  # type: ignore[attr-defined]
    return target


def damaged(bundle: Path, target: Path, damage: str) -> Path:
    """A copy that suffered ``damage``, one of ``DAMAGES``."""
    shutil.copytree(bundle, target)
    DAMAGES[damage](target)
    return target


def _add_outside(manifest: dict[str, object]) -> None:
    manifest["files"] = {"../x": {"bytes": 1, "sha256": "0"}}


def _forget_tables(manifest: dict[str, object]) -> None:
    files = manifest["files"]
    assert isinstance(files, dict)
    del files["tables.json"]


def _cut(file: str) -> Callable[[Path], object]:
    def cut(bundle: Path) -> None:
        path = bundle / file
        path.write_bytes(path.read_bytes()[:100])

    return cut


def _overdo_the_strength(bundle: Path) -> None:
    path = bundle / "tables.json"
    tables = json.loads(path.read_text())
    tables["presets"]["distortion"]["strength"] = 2.5
    path.write_text(json.dumps(tables))
    data = path.read_bytes()
    entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit_manifest(bundle, lambda m: m["files"].update({path.name: entry}))  # type: ignore[attr-defined]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "newer": lambda bundle: edit_manifest(bundle, lambda m: m.update(format=2)),
    "no format": lambda bundle: edit_manifest(bundle, lambda m: m.pop("format")),
    "outside": lambda bundle: edit_manifest(bundle, _add_outside),
    "no checksum": lambda bundle: edit_manifest(bundle, _forget_tables),
    "no preset": lambda bundle: edit_manifest(bundle, lambda m: m.update(default_preset="none")),
    "graph cut short": _cut("predictor.onnx"),
    "tables cut short": _cut("tables.json"),
    "too strong": _overdo_the_strength,
    "gone": lambda bundle: (bundle / "denoiser_step.onnx").unlink(),
}
