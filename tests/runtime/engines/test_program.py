"""The engine ``torch``: programs that a bundle may carry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from runtime import BundleError, EngineError
from runtime.bundle import MANIFEST, FileEntry, open_bundle, sha256
from runtime.engines import Engine, open_engine


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small bundle with programs of the same network."""
    from export.program import PROGRAMS, export_programs
    from train.checkpoint import load_model

    directory = shutil.copytree(small_bundle, tmp_path_factory.mktemp("programs") / "bundle")
    manifest = json.loads((directory / MANIFEST).read_text())
    manifest["programs"] = {"predictor": PROGRAMS.predictor, "step": PROGRAMS.step}
    for name, data in export_programs(load_model(checkpoint)[0]).items():
        (directory / name).write_bytes(data)
        entry = FileEntry(len(data), sha256(data))
        manifest["files"][name] = {"bytes": entry.bytes, "sha256": entry.sha256}
    (directory / MANIFEST).write_text(json.dumps(manifest))
    return directory


@pytest.fixture(scope="module")
def program(bundle: Path) -> Engine:
    return open_engine("torch", open_bundle(bundle))


def test_a_program_computes_what_the_graph_does_at_any_size(bundle: Path, program: Engine) -> None:
    opened = open_bundle(bundle)
    graph = open_engine("onnx-cpu", opened)
    rng = np.random.default_rng(0)
    row = opened.preset(None).table.rows[0].astype(np.float32)
    for shape in ((1, 3, 24, 32), (3, 3, 40, 16)):
        z, y, noise, previous = rng.standard_normal((4, *shape)).astype(np.float32)
        noise.flags.writeable = False
        assert program.predict(y) == pytest.approx(graph.predict(y), abs=1e-4)
        for a, b in zip(
            program.step(z, y, noise, previous, row),
            graph.step(z, y, noise, previous, row),
            strict=True,
        ):
            assert a == pytest.approx(b, abs=1e-4)


def test_a_shape_that_the_program_does_not_take_is_an_engine_error(program: Engine) -> None:
    with pytest.raises(EngineError, match="PyTorch failed on y"):
        program.predict(np.zeros((1, 3, 17, 32), np.float32))


def test_a_damaged_program_is_refused_when_the_bundle_opens(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    (copy / "predictor.pt2").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"predictor\.pt2"):
        open_bundle(copy)


def test_a_program_without_a_checksum_is_refused(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    manifest = json.loads((copy / MANIFEST).read_text())
    del manifest["files"]["denoiser_step.pt2"]
    (copy / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="no checksum"):
        open_bundle(copy)


def test_a_bundle_without_programs_has_no_word_of_them(small_bundle: Path) -> None:
    assert "programs" not in json.loads((small_bundle / MANIFEST).read_text())
