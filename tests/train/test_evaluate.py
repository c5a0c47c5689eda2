from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.errors import OptionError
from runtime.session import Session
from train.data.layouts import find_pictures
from train.evaluate import (
    Setting,
    evaluate,
    main,
    measure_all,
    parse_setting,
    psnr,
    take_evenly,
)
from train.measuring.inference import CheckpointSession
from train.measuring.metrics import Metrics

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


def test_the_result_files_hold_the_circumstances_and_every_picture(
    pairs: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, table, others = (pairs / name for name in ("r.json", "r.csv", "others.csv"))
    others.write_text("method,psnr,lpips\nanother one,31.5,\n")
    arguments = [str(small_bundle), str(pairs), "--at", "5x2", "--sharp", "--std"]
    assert (
        main([*arguments, "--json", str(result), "--csv", str(table), "--beside", str(others)]) == 0
    )
    content = json.loads(result.read_text())
    assert content["kind"] == "bundle"
    assert len(content["sha256"]) == len(content["data_sha256"]) == 64
    assert content["engine"].startswith("onnx-cpu")
    assert content["versions"]["numpy"] == np.__version__
    assert all(score["sharp_kept"] > 0 for score in content["scores"])
    assert all(0 < score["metrics"]["ssim"] <= 1 for score in content["scores"])
    lines = list(csv.DictReader(table.open()))
    assert [line["picture"] for line in lines] == ["left_0.png", "left_1.png", "right_2.png"]
    shown = capsys.readouterr().out
    assert "| another one | not measured | not measured | not measured | not measured | 31.500" in (
        shown
    )
    for name in content["not_measured"]:
        assert f"{name} not measured: " in shown


def test_a_checkpoint_is_evaluated_as_the_bundle_made_from_it(
    pairs: Path, small_bundle: Path, checkpoint: Path
) -> None:
    pictures = take_evenly(find_pictures(pairs), 1)
    scores = []
    with Session(small_bundle) as bundle:
        for session in (bundle, CheckpointSession(checkpoint)):
            rows, _ = measure_all(
                session, pictures, [Setting(3, 2)], Metrics(), spread=True, progress=False
            )
            scores.append(rows[0])
    # Both round to grey levels, and may do so differently at a tie.
    assert scores[1].deblurred == pytest.approx(scores[0].deblurred, abs=0.01)
    assert scores[0].spread is not None
    assert scores[1].spread is not None
    assert scores[1].spread.std == pytest.approx(scores[0].spread.std, rel=1e-3)


def test_sharp_pictures_alone_are_refused(
    pairs: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(small_bundle), str(pairs / "sharp"), "--metrics"]) == 2
    assert "blur/ and sharp/" in capsys.readouterr().err


def test_the_spread_of_one_sample_is_refused(
    pairs: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(small_bundle), str(pairs), "--metrics", "--std", "--at", "5x1"]) == 2
    assert "at least 2" in capsys.readouterr().err


def test_fewer_pictures_are_spread_over_the_folder(pairs: Path) -> None:
    taken = take_evenly(find_pictures(pairs), 2)
    assert [path.name for path in taken.sharp] == ["left_0.png", "left_1.png"]
    with pytest.raises(OptionError, match="1 to 3"):
        take_evenly(find_pictures(pairs), 4)


@pytest.mark.parametrize("text", ["10", "x4", "10x", "axb"])
def test_a_setting_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="10x4"):
        parse_setting(text)
