"""dvsr-deblur answers as ``python -m runtime`` does."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.images import read_image

Image = NDArray[np.uint8]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def run_python(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "runtime", *arguments)


@pytest.fixture
def blurred(tmp_path: Path, photograph: Image) -> Path:
    path = tmp_path / "blurred.png"
    cv2.imwrite(str(path), cv2.blur(photograph[:40, :56, ::-1], (3, 3)))
    return path


def test_the_tool_writes_the_picture_that_python_writes(
    tool: Path, blurred: Path, small_bundle: Path
) -> None:
    options = ("--bundle", small_bundle, "--preset", "realtime", "--samples", 3, "--seed", 5)
    native, python = blurred.with_name("native.png"), blurred.with_name("python.png")
    done = run(tool, blurred, "-o", native, *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert run_python(blurred, "-o", python, *options).returncode == 0
    np.testing.assert_allclose(read_image(native), read_image(python).astype(int), atol=1)


def test_grayscale_alpha_and_several_pictures_come_out_as_they_went_in(
    tool: Path, tmp_path: Path, photograph: Image, small_bundle: Path
) -> None:
    gray, clear = tmp_path / "gray.png", tmp_path / "clear.png"
    cv2.imwrite(str(gray), photograph[:9, :9, 0])
    cv2.imwrite(str(clear), cv2.cvtColor(photograph[:9, :9], cv2.COLOR_RGB2BGRA))
    folders = {"native": tmp_path / "native", "python": tmp_path / "python"}
    for folder in folders.values():
        folder.mkdir()
    options = ("--bundle", small_bundle, "--steps", 0)
    assert run(tool, gray, clear, "-o", folders["native"], *options).returncode == 0
    assert run_python(gray, clear, "-o", folders["python"], *options).returncode == 0
    for name in ("gray.png", "clear.png"):
        native, python = (
            cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED) for folder in folders.values()
        )
        assert native.shape == python.shape
        np.testing.assert_allclose(native, python.astype(int), atol=1)


def test_folders_are_created_and_read_as_python_does(
    tool: Path, blurred: Path, small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.chdir(blurred.parent)
    for name in ("in/b.c.png", "in/deep/a.PNG", "in/.hidden/x.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(blurred, name)
    Path("in/note.txt").write_text("no picture")
    options = ("--bundle", small_bundle, "--steps", 0, "--timings")
    printed = {}
    for name, command in (("native", (tool,)), ("python", (sys.executable, "-m", "runtime"))):
        done = run(*command, "in", "./blurred.png", "-o", f"out/{name}", *options)
        assert (done.returncode, done.stderr) == (0, "")
        # Times differ, and Python also tells why it took the engine.
        lines = re.sub(r"[\d.]+ s\)|(?<=\w )[\d.]+(?=,|$)", "", done.stdout).splitlines()
        printed[name] = [line.replace(name, "") for line in lines[1:]]
    # C++ does not tell the conversions apart.
    printed["python"][-1] = re.sub("(up|down)load , ", "", printed["python"][-1])
    assert printed["native"] == printed["python"]
    found = {
        name: sorted(
            str(path.relative_to(f"out/{name}")) for path in Path(f"out/{name}").rglob("*.png")
        )
        for name in printed
    }
    assert found["native"] == found["python"] == ["b.c.png", "blurred.png", "deep/a.png"]


def test_the_views_are_those_of_python(
    tool: Path, blurred: Path, small_bundle: Path, tmp_path: Path
) -> None:
    options = ("--bundle", small_bundle, "--preset", "realtime", "--samples", 3)
    options = (*options, "--compare", "--std")
    native, python = tmp_path / "native.png", tmp_path / "python.png"
    said = run(tool, blurred, "-o", native, *options).stdout.splitlines()[1]
    told = run_python(blurred, "-o", python, *options).stdout.splitlines()[1]
    assert said.partition(" s, ")[2] == told.partition(" s, ")[2]
    for view in (".compare.png", ".std.png"):
        got, expected = (
            read_image(path.with_suffix(view)).astype(int) for path in (native, python)
        )
        np.testing.assert_allclose(got, expected, atol=1 if view == ".compare.png" else 6)


@pytest.mark.parametrize(
    "arguments",
    [
        ("missing.png", "-o", "out.png"),
        ("empty.png", "-o", "out.png"),
        ("noise.png", "-o", "out.png"),
        ("blurred.png", "-o", "out.gif"),
        ("blurred.png", "-o", "nowhere/out.png"),
        ("blurred.png", "blurred.png", "-o", "out.png"),
        ("blurred.png", "deep.png", "-o", "empty.png"),
        ("blurred.png", "-o", "blurred.png"),
        ("blurred.png", "-o", "empty.png/below"),
        ("blurred.png", "below/blurred.png", "-o", "new"),
        ("below", "-o", "below"),
        ("hollow", "-o", "new"),
        ("blurred.png", "-o", "out.png", "--seed", "-1"),
        ("blurred.png", "-o", "out.png", "--samples", "0"),
        ("blurred.png", "-o", "out.png", "--preset", "none"),
        ("clear.png", "-o", "out.jpg"),
        ("deep.png", "-o", "out.png"),
    ],
)
def test_the_tool_refuses_in_the_words_of_python(
    tool: Path,
    blurred: Path,
    small_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    folder = blurred.parent
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.chdir(folder)
    (folder / "empty.png").write_bytes(b"")
    (folder / "noise.png").write_bytes(b"no picture")
    (folder / "below").mkdir()
    (folder / "hollow").mkdir()
    shutil.copy("blurred.png", "below")
    cv2.imwrite("clear.png", np.zeros((4, 4, 4), np.uint8))
    cv2.imwrite("deep.png", np.zeros((4, 4, 3), np.uint16))
    native = run(tool, *arguments, "--bundle", small_bundle)
    python = run_python(*arguments, "--bundle", small_bundle)
    assert native.returncode == python.returncode in (1, 2)
    assert native.stderr.removeprefix("dvsr-deblur: ") == python.stderr.removeprefix(
        "python -m runtime: "
    )
    assert not (folder / "out.png").exists()


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_truncated_picture_is_refused(
    tool: Path, blurred: Path, photograph: Image, small_bundle: Path, suffix: str
) -> None:
    encoded = cv2.imencode(f".{suffix}", photograph[:64, :64])[1].tobytes()
    path = blurred.with_name(f"cut.{suffix}")
    path.write_bytes(encoded[: len(encoded) // 2])
    done = run(tool, path, "-o", blurred.with_name("out.png"), "--bundle", small_bundle)
    assert done.returncode == 1
    assert f"cut.{suffix} is truncated; wanted is a whole picture" in done.stderr


def test_the_benchmark_prints_percentiles_of_each_stage(
    tool: Path, blurred: Path, small_bundle: Path
) -> None:
    options = ("--bundle", small_bundle, "--preset", "realtime", "--warm-up", 1)
    done = run(tool, blurred, "--bench", 3, *options)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert "56x40 px, 1 warm-up, 3 runs" in lines[1]
    assert lines[2].split() == ["ms", "p50", "p90", "p99", "max"]
    stages = {line.split()[0]: [float(v) for v in line.split()[1:]] for line in lines[3:]}
    assert list(stages) == ["predictor", "noise", "steps", "total"]
    assert all(times == sorted(times) for times in stages.values())
    assert stages["total"][0] > 0.0
