"""Either tool goes on with a batch of the other: the file dvsr-batch.json is one and the same."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from both_tools import Answer, BothTools, files_in
from numpy.typing import NDArray

from runtime.batch.journal import NAME

Image = NDArray[np.uint8]
QUICK = ("--engine", "fake", "--steps", 0)


@pytest.fixture
def both(tool: Path, tmp_path: Path, photograph: Image) -> BothTools:
    """Three pictures in each folder, one of them with a name that is not ASCII."""
    for side in ("native", "python"):
        (tmp_path / side / "in" / "deep").mkdir(parents=True)
        for name in ("a.png", "b.jpg", "deep/ü.png"):
            cv2.imwrite(str(tmp_path / side / "in" / name), photograph[:6, :8])
    return BothTools(tool, tmp_path / "native", tmp_path / "python")


def in_one_folder(both: BothTools) -> BothTools:
    return BothTools(both.tool, both.native, both.native)


@pytest.mark.parametrize("begun_by", ["native", "python"])
def test_a_batch_that_one_began_the_other_ends(
    both: BothTools, small_bundle: Path, begun_by: str
) -> None:
    both = in_one_folder(both)
    first, second = both.ask_native, both.ask_python
    if begun_by == "python":
        first, second = second, first
    broken = both.native / "in" / "b.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(b"no picture")
    arguments = ("in", "-o", "out", "--bundle", small_bundle, *QUICK)
    began = first(*arguments)
    journal = (both.native / "out" / NAME).read_bytes()
    broken.write_bytes(whole)
    ended = second(*arguments)
    assert (began.code, ended.code, ended.err) == (1, 0, "")
    assert began.out.endswith("2 written to out, 0 there already, 1 failed\n")
    assert ended.out.endswith("1 written to out, 2 there already, 0 failed\n")
    assert (both.native / "out" / NAME).read_bytes() == journal


def test_python_goes_on_with_a_self_ensemble_and_a_strength_that_the_tool_began(
    both: BothTools, small_bundle: Path
) -> None:
    both = in_one_folder(both)
    wanted = ("--self-ensemble", "--strength", "1.3")
    turned = ("in", "-o", "out", "--bundle", small_bundle, *QUICK, *wanted)
    assert both.ask_native(*turned).code == 0
    journal = json.loads((both.native / "out" / NAME).read_text())
    assert (journal["recipe"]["self_ensemble"], journal["recipe"]["strength"]) == (True, 1.3)
    assert both.ask_python(*turned).out.endswith("0 written to out, 3 there already, 0 failed\n")


def forget(folder: Path) -> None:
    (folder / "out" / "b.png").unlink()


def cut(folder: Path) -> None:
    os.truncate(folder / "out" / "a.png", 50)


def change(folder: Path) -> None:
    later = (folder / "out" / "a.png").stat().st_mtime + 10.0
    os.utime(folder / "in" / "a.png", (later, later))


def strange(folder: Path) -> None:
    (folder / "out" / NAME).unlink()


def nothing(_: Path) -> None:
    pass


# What happens to the folder, what is asked then, and a part of the answer.
STEPS: list[tuple[Callable[[Path], None], str, str]] = [
    (nothing, "in", "3 written to out, 0 there already, 0 failed"),
    (nothing, "in/a.png", "0 written to out, 1 there already, 0 failed"),
    (forget, "in", "1 written to out, 2 there already"),
    (cut, "in", "1 written to out, 2 there already"),
    (change, "in --timings", "1 written to out, 2 there already"),
    (nothing, "in --seed 1 --samples 2 --engine onnx-cpu", "(engine fake, now onnx-cpu; samples"),
    (nothing, "in --self-ensemble", "(self_ensemble False, now True); give another folder"),
    (nothing, "in --strength 0.5", "(strength 1.0, now 0.5); give another folder"),
    (nothing, "in --compare", "3 written"),
    (nothing, "in/a.png --seed 1 --overwrite", "in/a.png -> out/a.png"),
    (nothing, "in --seed 1", "holds 2 of the pictures to be written already, such as b.png"),
    (nothing, "in --seed 1 --overwrite", "3 written"),
    (strange, "in --seed 1", "no record of how they were made"),
]


def test_a_folder_has_the_same_history(both: BothTools, small_bundle: Path) -> None:
    for happen, line, part in STEPS:
        for folder in (both.native, both.python):
            happen(folder)
        native, python = both.ask("-o", "out", "--bundle", small_bundle, *QUICK, *line.split())
        assert native == python
        assert part in native.out + native.err
        assert files_in(both.native) == files_in(both.python)
        journals = [folder / "out" / NAME for folder in (both.native, both.python)]
        assert len({path.exists() and path.read_bytes() for path in journals}) == 1


GOOD = (
    '{"format": 1, "made_by": "x", "recipe": {"bundle": "ä", "bundle_sha256": "0", "engine": "auto"'
    ', "preset": "p", "steps": 1, "samples": 1, "seed": 0}, "others": []}'
)


@pytest.mark.parametrize(
    "journal",
    [
        "",
        "{}",
        "[]",
        GOOD.replace('"format": 1', '"format": 2'),
        GOOD.replace('"format": 1', '"format": "1"'),
        GOOD.replace('"steps": 1', '"steps": 1.5'),
        GOOD.replace('"steps": 1, ', ""),
        GOOD.replace('"steps": 1', '"steps": 1, "more": 0'),
        GOOD.replace("[]", '["a.png", null]'),
        GOOD,
    ],
)
def test_a_journal_is_read_alike(both: BothTools, small_bundle: Path, journal: str) -> None:
    both = in_one_folder(both)
    shutil.copytree(both.native / "in", both.native / "out")
    (both.native / "out" / NAME).write_text(journal)
    native, python = both.ask("in/a.png", "-o", "out", "--bundle", small_bundle, *QUICK)
    assert native == python
    assert native.code == 2
    assert (both.native / "out" / NAME).read_text() == journal


def test_a_journal_that_breaks_off_is_refused(both: BothTools, small_bundle: Path) -> None:
    (both.native / "out").mkdir()
    (both.native / "out" / NAME).write_text(GOOD[:40])
    refused: Answer = both.ask_native("in", "-o", "out", "--bundle", small_bundle, *QUICK)
    assert refused.code == 2
    assert f"out/{NAME} is no journal that this version reads (" in refused.err
