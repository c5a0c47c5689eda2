"""dvsr-deblur says what ``python -m runtime`` says: words, exit codes and files."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from both_tools import BothTools, files_in
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, photograph: Image) -> Path:
    """A folder of pictures, good and bad."""
    folder = tmp_path_factory.mktemp("pictures")
    small = np.ascontiguousarray(photograph[:6, :8, ::-1])
    for name in (
        "a.png",
        "in/f.JPG",
        "in/b.png",
        "in/deep/er/c.jpg",
        "in/deep/ä.png",
        "in/deep/[1].png",
        "in/^.png",
        "in/.hidden/d.png",
        "in/.e.png",
        "below/a.png",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, small)[1].tobytes())
    (folder / "in" / "notes.txt").write_text("no picture")
    (folder / "hollow").mkdir()
    (folder / "bad").mkdir()
    shutil.copy(folder / "a.png", folder / "bad" / "good.png")
    (folder / "bad" / "cut.png").write_bytes((folder / "a.png").read_bytes()[:60])
    for name in ("half1.bmp", "half2.jpeg", "half3.tiff", "half4.webp"):
        encoded = cv2.imencode(Path(name).suffix, photograph[:32, :32])[1].tobytes()
        (folder / "bad" / name).write_bytes(encoded[: len(encoded) // 2])
    (folder / "bad" / "empty.png").write_bytes(b"")
    (folder / "bad" / "noise.jpg").write_bytes(b"no picture")
    cv2.imwrite(str(folder / "bad" / "deep.png"), np.zeros((4, 4, 3), np.uint16))
    cv2.imwrite(str(folder / "clear.png"), np.zeros((4, 4, 4), np.uint8))
    return folder


@pytest.fixture
def both(tool: Path, pictures: Path, tmp_path: Path) -> BothTools:
    for side in ("native", "python"):
        shutil.copytree(pictures, tmp_path / side)
    return BothTools(tool, tmp_path / "native", tmp_path / "python")


# The last of several values counts, for both.
LIGHT = ("--engine", "fake")

WRITTEN = [
    "in -o out",
    "in a.png -o out --timings",
    "./a.png -o out",
    "a.png -o .//sharp.jpg",
    "in/b.png -o .",
    "below/a.png -o . --std --samples 2 --overwrite",
    "in/deep/ä.png in -o out",
    "in/**/*.png -o out",
    "./in/**/c.* -o ./out/",
    "**/c.jpg -o out",
    "in/** -o out",
    "i[!m]/*.[jJ]* -o out",
    "in/[^a].png -o out",
    "in/deep/?.png -o out",
    "in/deep/[1].png -o out",
    "in/.*.png in/.h*/* -o out",
    "in/*/er/*.jpg a.png -o out --compare",
    "bad -o out",
    "bad/cut.png -o out.png",
    "clear.png -o out.jpg",
    "clear.png -o out/clear.webp/",
    "a.png -o sharp.png --memory 1",
    "a.png -o sharp.png --engine onnx-cpu",
    "a.png -o sharp.png --engine auto --seed +7",
    "a.png -o sharp.png --engine onnx-cpu --strength +.5",
    "a.png -o sharp.png --engine onnx-cpu --strength 19e-1",
]


@pytest.mark.parametrize("line", WRITTEN)
def test_the_same_is_written_and_said(both: BothTools, small_bundle: Path, line: str) -> None:
    steps = () if "--std" in line else ("--steps", 0)
    native, python = both.ask("--bundle", small_bundle, *LIGHT, *steps, *line.split())
    assert native == python
    assert native.code in (0, 1)
    assert files_in(both.native) == files_in(both.python)


REFUSED = [
    "",
    "a.png",
    "-o out.png",
    "a.png -o",
    "a.png -o out.png --steps",
    "a.png -o out.png --steps many",
    "a.png -o out.png --samples 1.5",
    "a.png -o out.png --seed x",
    "a.png -o out.png --seed +-1",
    "a.png -o out.png --strength",
    "a.png -o out.png --strength 1,5",
    "a.png -o out.png --strength +-1",
    "a.png -o out.png --strength=x",
    "a.png -o out.png --colour",
    "a.png -o out.png --self-ensemble=maybe",
    "a.png -o out.png --self-ensemble=true",
    "a.png -o out.png --no-self-ensemble=false",
    "a.png -o out.png --compare=false",
    "a.png -o out.png --std=",
    "a.png -o out.png --overwrite=it's",
    "a.png -o out.png --timings=\\x",
    "a.png -o out.png --help=1",
    "a.png -o out.png -h=1",
    "a.png -o out.png --version=\x1b",
    "a.png -o out.png --steps 501",
    "a.png -o out.png --steps -1",
    "a.png -o out.png --samples 0",
    "a.png -o out.png --samples 1025",
    "a.png -o out.png --seed -1",
    "a.png -o out.png --seed 18446744073709551616",
    "a.png -o out.png --strength 0",
    "a.png -o out.png --strength -.5",
    "a.png -o out.png --strength 2.5",
    "a.png -o out.png --strength nan",
    "a.png -o out.png --strength inf",
    "a.png -o out.png --preset none",
    "a.png -o out.png --memory 0",
    "a.png -o out.png --std --samples 1",
    "a.png -o out.png --std --steps 0",
    "a.png -o out.png --bundle none",
    "a.png -o out.gif",
    "a.png -o nowhere/out.png",
    "a.png -o a.png",
    "a.png a.png -o out.png",
    "a.png below/a.png -o out",
    "a.png in/b.png -o bad/empty.png",
    "a.png -o bad/empty.png/below",
    "below -o below",
    "in/deep -o in",
    "hollow -o out",
    "none/*.png -o out",
    "in/*.txt -o out",
    "in/[b.png -o out",
    "missing.png -o out.png",
]


@pytest.mark.parametrize("line", REFUSED)
def test_the_same_is_refused(both: BothTools, small_bundle: Path, line: str) -> None:
    native, python = both.ask("--bundle", small_bundle, *LIGHT, *line.split())
    assert native == python
    assert (native.code, native.out) == (2, "")
    assert len(native.err.splitlines()) == 1
    assert files_in(both.native) == files_in(both.python)


def test_an_unknown_engine_is_refused(both: BothTools, small_bundle: Path) -> None:
    answers = both.ask("a.png", "-o", "out.png", "--bundle", small_bundle, "--engine", "abacus")
    # Which engines there are is each side's own.
    assert {(answer.code, answer.err.partition(" of ")[0]) for answer in answers} == {
        (2, "got engine 'abacus'; wanted is auto or one")
    }
