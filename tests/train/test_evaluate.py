from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.errors import OptionError
from runtime.session import Session
from train.data import find_pictures
from train.evaluate import Setting, evaluate, main, parse_setting, psnr

Image = NDArray[np.uint8]


@pytest.fixture
def pairs(tmp_path: Path, photograph: Image) -> Path:
    for index, group in enumerate(("left", "left", "right")):
        sharp = photograph[64 * index : 64 * index + 32, 200:248, ::-1]
        for folder, image in (("sharp", sharp), ("blur", cv2.blur(sharp, (5, 5)))):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"{group}_{index}.png"), image)
    return tmp_path


def test_psnr_is_that_of_the_formula() -> None:
    a, b = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 51, np.uint8)
    assert psnr(a, b) == pytest.approx(20.0 * np.log10(5.0))


def test_groups_are_reported_apart_and_together(pairs: Path, small_bundle: Path) -> None:
    with Session(small_bundle) as session:
        scores = evaluate(session, find_pictures(pairs), [Setting(0, 1)], progress=False)
    assert [(score.group, score.pictures) for score in scores] == [
        ("left", 2),
        ("right", 1),
        ("all", 3),
    ]
    assert all(s.gain == pytest.approx(s.deblurred - s.blurred, abs=0.002) for s in scores)


def test_the_result_file_holds_the_circumstances(pairs: Path, small_bundle: Path) -> None:
    result = pairs / "result.json"
    arguments = ["--bundle", str(small_bundle), "--at", "5x2", "--sharp", "--json", str(result)]
    assert main([str(pairs), *arguments]) == 0
    content = json.loads(result.read_text())
    assert content["bundle_sha256"]
    assert content["engine"].startswith("onnx-cpu")
    assert all(score["sharp_kept"] > 0 for score in content["scores"])


def test_sharp_pictures_alone_are_refused(
    pairs: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(pairs / "sharp"), "--bundle", str(small_bundle)]) == 2
    assert "blur/ and sharp/" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["10", "x4", "10x", "axb"])
def test_a_setting_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="10x4"):
        parse_setting(text)
