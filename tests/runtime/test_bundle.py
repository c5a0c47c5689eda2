from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.bundle import MANIFEST, open_bundle, sha256
from runtime.errors import BundleError, OptionError


@pytest.fixture
def bundle(small_bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(small_bundle, tmp_path / "bundle")


def edit(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    change(manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def test_a_whole_bundle_opens(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert opened.manifest.size_multiple_px == 8
    names = {"balanced", "distortion", "paper-sa", "perception", "realtime"}
    assert set(opened.presets) == names


def test_a_file_with_another_checksum_is_refused(bundle: Path) -> None:
    data = bytearray((bundle / "predictor.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "predictor.onnx").write_bytes(data)
    with pytest.raises(BundleError, match=r"predictor\.onnx is not the file"):
        open_bundle(bundle)


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "denoiser_step.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks denoiser_step\.onnx"):
        open_bundle(bundle)


def test_a_newer_format_says_so(bundle: Path) -> None:
    # Whatever else a newer format changes, its number must still be understood.
    (bundle / MANIFEST).write_text(json.dumps({"format": 99, "unknown": []}))
    with pytest.raises(BundleError, match="newer dvsr-edge"):
        open_bundle(bundle)


@pytest.mark.parametrize("name", ["../outside.onnx", "/etc/hostname", "a/../../outside.onnx"])
def test_a_path_that_leaves_the_bundle_is_refused(bundle: Path, name: str) -> None:
    (bundle.parent / "outside.onnx").write_bytes(b"x")
    entry = {"bytes": 1, "sha256": sha256(b"x")}
    edit(bundle, lambda manifest: manifest["files"].update({name: entry}))
    with pytest.raises(BundleError, match="outside the bundle"):
        open_bundle(bundle)


def test_a_symbolic_link_that_leaves_the_bundle_is_refused(bundle: Path) -> None:
    (bundle / "predictor.onnx").rename(bundle.parent / "elsewhere.onnx")
    (bundle / "predictor.onnx").symlink_to(bundle.parent / "elsewhere.onnx")
    with pytest.raises(BundleError, match="outside the bundle"):
        open_bundle(bundle)


def test_a_graph_without_a_checksum_is_refused(bundle: Path) -> None:
    edit(bundle, lambda manifest: manifest["files"].pop("predictor.onnx"))
    with pytest.raises(BundleError, match="no checksum"):
        open_bundle(bundle)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "one"}', '{"format": 1}'])
def test_a_broken_manifest_is_refused(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        open_bundle(bundle)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle at"):
        open_bundle(tmp_path)


def test_an_unknown_preset_is_refused_with_those_there_are(bundle: Path) -> None:
    with pytest.raises(OptionError, match="balanced, distortion"):
        open_bundle(bundle).preset("fastest")
