"""Nothing is left half-written where there is no room, no right, or no time to end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from export.bundle import write_bundle
from export.check import main as check
from export.engines.builder import build_engines
from export.engines.library import Library
from export.engines.plan import BuildConfig
from export.engines.progress import Progress
from export.onnx import main as export
from export.triton import main as triton
from export.trt import main as trt
from runtime.bundle import Tables, open_bundle
from runtime.errors import BundleError
from runtime.plans.shapes import Size, SizeRange
from runtime.samplers import COLUMNS

Full = Callable[..., AbstractContextManager[None]]
ReadOnly = Callable[[Path], AbstractContextManager[None]]

CONFIG = BuildConfig((SizeRange(Size(64, 64), Size(64, 64), Size(128, 128)),), targets=(86,))
SHAPE = ("--min", "64x64", "--opt", "64x64", "--max", "128x128", "--target", "sm86")


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below ``directory``."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def build(directory: Path, library: Library, *, rebuild: bool = False) -> None:
    build_engines(open_bundle(directory), library, CONFIG, rebuild=rebuild, say=lambda _: None)


def the_one_line(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    return said


def test_a_bundle_that_a_full_disk_cannot_take_leaves_the_old_one(
    bundle: Path, full_disk: Full
) -> None:
    before = contents(bundle)
    manifest = open_bundle(bundle).manifest
    files = {"predictor.onnx": bytes(200_000)}
    with full_disk(), pytest.raises(BundleError, match="File too large; make room there"):
        write_bundle(bundle, manifest, Tables(COLUMNS, {}), files, lambda _, m: (m, {}))
    assert contents(bundle) == before
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_a_bundle_is_not_exported_to_where_it_cannot_be_written(
    checkpoint: Path, tmp_path: Path, read_only: ReadOnly, capsys: pytest.CaptureFixture[str]
) -> None:
    with read_only(tmp_path):
        assert export([str(checkpoint), "-o", str(tmp_path / "bundle")]) == 2
    assert "Permission denied; make room there, or choose another output" in the_one_line(capsys)
    assert not list(tmp_path.iterdir())


def test_engines_that_a_full_disk_cannot_take_leave_the_bundle_as_it_was(
    bundle: Path, library: Library, full_disk: Full
) -> None:
    before = contents(bundle)
    with full_disk(), pytest.raises(BundleError, match="make room"):
        build(bundle, library)
    assert contents(bundle) == before
    assert not (bundle / "engines").exists()


def test_where_there_is_room_for_one_engine_only_none_is_kept(
    bundle: Path, built_bundle: Path, library: Library, full_disk: Full
) -> None:
    plans = sorted(path.stat().st_size for path in (built_bundle / "engines").glob("*.plan"))
    before = contents(bundle)
    with full_disk(plans[0]), pytest.raises(BundleError, match="make room"):
        build(bundle, library)
    assert contents(bundle) == before


@pytest.mark.parametrize("room", ["for none", "for one"])
def test_a_rebuild_that_a_full_disk_cannot_take_leaves_the_old_engines(
    with_engines: Path, library: Library, full_disk: Full, room: str
) -> None:
    before = contents(with_engines)
    plans = sorted(path.stat().st_size for path in (with_engines / "engines").glob("*.plan"))
    limit_bytes = plans[0] - (room == "for none")
    with full_disk(limit_bytes), pytest.raises(BundleError, match="make room"):
        build(with_engines, library, rebuild=True)
    assert contents(with_engines) == before


def test_a_read_only_bundle_says_where_to_build(
    bundle: Path, library: Library, read_only: ReadOnly, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(bundle)
    with read_only(bundle):
        assert trt([str(bundle), *SHAPE]) == 2
    said = the_one_line(capsys)
    assert "Permission denied" in said
    assert "copy the bundle to where you may write" in said
    assert contents(bundle) == before


@pytest.mark.parametrize("part", [".", "engines"])
def test_a_rebuild_where_a_part_of_the_bundle_is_read_only_changes_nothing(
    with_engines: Path, library: Library, read_only: ReadOnly, part: str
) -> None:
    before = contents(with_engines)
    with (
        read_only(with_engines / part),
        pytest.raises(BundleError, match=r"Permission denied.* copy the bundle"),
    ):
        build(with_engines, library, rebuild=True)
    assert contents(with_engines) == before


def test_a_file_in_the_way_of_the_engines_says_where_to_build(
    bundle: Path, library: Library
) -> None:
    (bundle / "engines").write_text("in the way")
    with pytest.raises(BundleError, match="copy the bundle"):
        build(bundle, library)


def test_a_read_only_bundle_is_not_sealed_and_says_so(
    bundle: Path, read_only: ReadOnly, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(bundle)
    with read_only(bundle):
        assert check([str(bundle), "--size", "32x32"]) == 2
    assert "Permission denied" in the_one_line(capsys)
    assert contents(bundle) == before


def test_a_repository_that_a_full_disk_cannot_take_is_not_there(
    bundle: Path, full_disk: Full, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tritonclient", reason="tritonclient[grpc] is not installed")
    pytest.importorskip("grpc", reason="tritonclient[grpc] is not installed")
    with full_disk():
        assert triton([str(bundle), "-o", str(bundle.parent / "models")]) == 2
    assert "make room there" in the_one_line(capsys)
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_what_a_killed_build_left_is_swept_by_the_next(bundle: Path, library: Library) -> None:
    engines = bundle / "engines"
    engines.mkdir()
    (engines / ("0" * 32 + ".plan")).write_bytes(b"half")
    (engines / ".ab.plan.xyz").write_bytes(b"ha")
    build(bundle, library)
    assert not (engines / ".ab.plan.xyz").exists()
    assert len(list(engines.glob("*.plan"))) == 2


KILLED = """
import os, signal, sys
from export.engines.progress import Progress
from export.trt import main

Progress.step = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""


def test_a_killed_build_leaves_an_empty_lock_and_the_next_one_builds(
    bundle: Path, library: Library
) -> None:
    before = contents(bundle)
    command = [sys.executable, "-c", KILLED, str(bundle), *SHAPE]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert contents(bundle) == before | {"engines/.lock": b""}
    build(bundle, library)
    assert len(list((bundle / "engines").glob("*.plan"))) == 2


def test_control_c_ends_the_build_and_leaves_the_bundle_as_it_was(
    bundle: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Progress, phase: str, step: int) -> None:
        signal.raise_signal(signal.SIGINT)

    before = contents(bundle)
    monkeypatch.setattr(Progress, "step", interrupt)
    assert trt([str(bundle), *SHAPE]) == 130
    assert contents(bundle) == before
    assert not (bundle / "engines").exists()
