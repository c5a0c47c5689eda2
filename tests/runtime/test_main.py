"""The command line: what is written, what is printed, and the exit code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import runtime
from runtime.__main__ import build_parser, main
from runtime.images import read_image

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture
def blurred(tmp_path: Path, photograph: NDArray[np.uint8]) -> Path:
    path = tmp_path / "blurred.png"
    cv2.imwrite(str(path), cv2.blur(photograph[:40, :56], (3, 3)))
    return path


@pytest.fixture
def folder(tmp_path: Path, photograph: NDArray[np.uint8]) -> Path:
    """Three pictures, one of them broken."""
    (tmp_path / "in").mkdir()
    for name in ("a.png", "c.jpg"):
        cv2.imwrite(str(tmp_path / "in" / name), photograph[:24, :32])
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    return tmp_path / "in"


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def check_refused(capsys: pytest.CaptureFixture[str], code: int, cause: str, wanted: int) -> None:
    """One line that names the cause, the exit code wanted, no traceback."""
    errors = capsys.readouterr().err
    assert code == wanted
    assert len(errors.strip().splitlines()) == 1
    assert cause in errors


def test_a_picture_is_written_with_the_size_of_the_input(blurred: Path, small_bundle: Path) -> None:
    target = blurred.with_name("sharp.png")
    command = [sys.executable, "-m", "runtime", blurred, "-o", target, "--bundle", small_bundle]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert read_image(target).shape == read_image(blurred).shape


def test_one_picture_is_one_line(
    blurred: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = blurred.with_name("sharp.png")
    assert run(blurred, "-o", target, "--bundle", small_bundle, "--steps", 0) == 0
    engine, line = capsys.readouterr().out.splitlines()
    assert engine.startswith("engine ")
    assert line.startswith(f"{blurred} -> {target} (56x40, ")


def test_all_options_are_taken(
    blurred: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = blurred.with_name("sharp.jpg")
    options = ("--steps", 6, "--samples", 2, "--seed", 5, "--preset", "distortion", "--memory", 900)
    flags = ("--compare", "--std", "--timings", "--overwrite", "--engine", "onnx-cpu")
    assert run(blurred, "-o", target, "--bundle", small_bundle, *options, *flags) == 0
    written = {path.name for path in blurred.parent.iterdir()} - {blurred.name}
    assert written == {"sharp.jpg", "sharp.compare.png", "sharp.std.png"}
    printed = capsys.readouterr().out
    assert re.search(r"std 0 to [\d.]+ grey levels", printed)
    assert re.search(r"milliseconds, mean of 1: decode [\d.]+, .*predictor .*encode", printed)


def test_the_strength_given_is_that_of_the_picture(blurred: Path, small_bundle: Path) -> None:
    target = blurred.with_name("sharp.png")
    options = ("--bundle", small_bundle, "--steps", 0, "--strength", 0.5)
    assert run(blurred, "-o", target, *options) == 0
    with runtime.Session(small_bundle) as session:
        expected = session.deblur(read_image(blurred), steps=0, strength=0.5)
    np.testing.assert_array_equal(read_image(target), expected)


def test_a_failed_picture_is_named_counted_and_not_tried_again_alone(
    folder: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (folder, "-o", folder.with_name("out"), "--bundle", small_bundle, "--steps", 0)
    assert run(*arguments) == 1
    first = capsys.readouterr()
    assert "2 written" in first.out
    assert "1 failed" in first.out
    assert "b.png" in first.err
    cv2.imwrite(str(folder / "b.png"), np.zeros((8, 8, 3), np.uint8))
    assert run(*arguments) == 0
    assert "1 written" in (second := capsys.readouterr().out)
    assert "2 there already" in second


def test_other_settings_into_the_same_folder_are_refused(
    folder: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (folder / "a.png", "-o", folder.with_name("out"), "--bundle", small_bundle)
    assert run(*arguments, "--steps", 0) == 0
    capsys.readouterr()
    check_refused(capsys, run(*arguments, "--steps", 5), "steps 0, now 5", wanted=2)
    assert run(*arguments, "--steps", 5, "--samples", 1, "--overwrite") == 0


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"x" * 500])
def test_a_file_that_is_no_picture_is_refused(
    tmp_path: Path, small_bundle: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    target = tmp_path / "out.png"
    code = run(path, "-o", target, "--bundle", small_bundle)
    check_refused(capsys, code, "bad.png", wanted=1)
    assert not target.exists()


def test_a_failed_run_leaves_the_old_output(
    tmp_path: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "out.png").write_bytes(b"old")
    code = run(tmp_path / "bad.jpg", "-o", tmp_path / "out.png", "--bundle", small_bundle)
    check_refused(capsys, code, "bad.jpg", wanted=1)
    assert (tmp_path / "out.png").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("IN", "-o", "missing/out.png"), "missing"),
        (("IN", "-o", "out.txt"), ".txt"),
        (("gone.png", "-o", "out.png"), "gone.png"),
        (("*.jpg", "-o", "out"), "*.jpg"),
        (("IN", "-o", "out.png", "--bundle", "no-such-bundle"), "no-such-bundle"),
        (("IN", "-o", "out.png", "--engine", "abacus"), "abacus"),
        (("IN", "-o", "out.png", "--steps", "501"), "0 to 500"),
        (("IN", "-o", "out.png", "--strength", "3"), "strength 3.0"),
        (("IN", "-o", "out.png", "--memory", "0"), "memory"),
        (("IN", "-o", "out.png", "--std", "--samples", "1"), "--std"),
        (("IN", "-o", "out.png", "--ray-workers", "2"), "--ray"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    blurred: Path,
    arguments: tuple[str, ...],
    cause: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(blurred.parent)
    code = run(*(blurred.name if argument == "IN" else argument for argument in arguments))
    check_refused(capsys, code, cause, wanted=2)
    assert not Path("out.png").exists()


def test_what_the_parser_refuses_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run("a.png", "-o", "b.png", "--steps", "many")
    assert isinstance(left.value.code, int)
    check_refused(capsys, left.value.code, "--steps", wanted=2)


def test_the_options_that_the_readme_names_exist() -> None:
    lines = re.findall(r"python -m runtime .*", README.read_text())
    named = {option for line in lines for option in re.findall(r"--[a-z][a-z-]*", line)}
    assert named
    assert named <= {
        option for action in build_parser()._actions for option in action.option_strings
    }
