"""The command line, run as a person runs it: in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.images import read_image


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runtime", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def blurred(tmp_path: Path, photograph: NDArray[np.uint8]) -> Path:
    path = tmp_path / "blurred.png"
    cv2.imwrite(str(path), cv2.blur(photograph[:40, :56], (3, 3)))
    return path


def test_a_picture_is_written_with_the_size_of_the_input(blurred: Path, small_bundle: Path) -> None:
    target = blurred.with_name("sharp.png")
    done = run(blurred, "-o", target, "--bundle", small_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert read_image(target).shape == read_image(blurred).shape


def test_all_options_are_taken(blurred: Path, small_bundle: Path) -> None:
    target = blurred.with_name("sharp.jpg")
    options = ("--steps", 6, "--samples", 2, "--seed", 5, "--preset", "distortion")
    assert run(blurred, "-o", target, "--bundle", small_bundle, *options).returncode == 0
    assert target.exists()


def test_several_pictures_go_into_a_folder(blurred: Path, small_bundle: Path) -> None:
    second = blurred.with_name("second.png")
    second.write_bytes(blurred.read_bytes())
    folder = blurred.with_name("out")
    folder.mkdir()
    done = run(blurred, second, "-o", folder, "--bundle", small_bundle, "--steps", 0)
    assert done.returncode == 0
    assert sorted(path.name for path in folder.iterdir()) == ["blurred.png", "second.png"]


def check_refused(done: subprocess.CompletedProcess[str], cause: str) -> None:
    """One line that names the cause, exit code 2, no traceback."""
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert cause in done.stderr


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"x" * 500])
def test_a_file_that_is_no_picture_is_refused(
    tmp_path: Path, small_bundle: Path, content: bytes
) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    target = tmp_path / "out.png"
    check_refused(run(path, "-o", target, "--bundle", small_bundle), "bad.png")
    assert not target.exists()


def test_a_failed_run_leaves_the_old_output(tmp_path: Path, small_bundle: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "out.png").write_bytes(b"old")
    done = run(tmp_path / "bad.jpg", "-o", tmp_path / "out.png", "--bundle", small_bundle)
    check_refused(done, "bad.jpg")
    assert (tmp_path / "out.png").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_output_in_a_missing_folder_is_refused(blurred: Path, small_bundle: Path) -> None:
    target = blurred.parent / "missing" / "out.png"
    check_refused(run(blurred, "-o", target, "--bundle", small_bundle), "missing")


def test_an_output_without_a_picture_suffix_is_refused(blurred: Path, small_bundle: Path) -> None:
    done = run(blurred, "-o", blurred.with_name("out.txt"), "--bundle", small_bundle)
    check_refused(done, ".txt")


def test_a_missing_input_is_refused(tmp_path: Path, small_bundle: Path) -> None:
    done = run(tmp_path / "gone.png", "-o", tmp_path / "out.png", "--bundle", small_bundle)
    check_refused(done, "gone.png")


def test_a_missing_bundle_is_refused(blurred: Path) -> None:
    done = run(blurred, "-o", blurred.with_name("out.png"), "--bundle", "no-such-bundle")
    check_refused(done, "no-such-bundle")


def test_an_option_out_of_range_is_refused(blurred: Path, small_bundle: Path) -> None:
    options = ("--bundle", small_bundle, "--steps", 501)
    check_refused(run(blurred, "-o", blurred.with_name("out.png"), *options), "0 to 500")
