"""The command: what an evaluation prints, writes and refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from train.evaluate import main


def test_the_result_files_hold_the_circumstances_and_every_picture(
    pairs: Path, small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, table, others = (tmp_path / name for name in ("r.json", "r.csv", "others.csv"))
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
    assert "| another one |" + 4 * " not measured |" + " 31.5 |" in shown
    assert "| DvSR-SA, paper, GoPro test set | 0.078 | 4.07 |" in shown
    for name in content["not_measured"]:
        assert f"{name} not measured: " in shown


@pytest.mark.parametrize(("preset", "turned"), [("distortion", True), ("balanced", False)])
def test_the_result_file_says_how_samples_were_drawn_and_made_stronger(
    pairs: Path, small_bundle: Path, tmp_path: Path, preset: str, turned: bool
) -> None:
    result = tmp_path / "r.json"
    options = ["--preset", preset, "--at", "0x2", "--metrics", "--pictures", "1"]
    assert main([str(small_bundle), str(pairs), *options, "--json", str(result)]) == 0
    content = json.loads(result.read_text())
    assert (content["self_ensemble"], content["strength"] > 1) == (turned, turned)


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
