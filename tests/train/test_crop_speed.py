"""The benchmark of decoding and blurring."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
import skimage.data

from train.bench import main
from train.config import BLURS, PRESETS, ModelConfig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), skimage.data.astronaut())
    return tmp_path / "pictures"


def test_the_benchmark_writes_a_speed_for_each_blur(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "result.json"
    assert main([str(folder), "--crops", "3", "--crop", "64", "--json", str(result)]) == 0
    rows = json.loads(result.read_text())
    assert [row["blur"] for row in rows] == list(BLURS)
    assert all(row["later_crops_per_s"] > 0 and row["crops"] == 3 for row in rows)
    assert "crops/s of 64 px on one core" in capsys.readouterr().out


def test_a_training_step_is_held_against_the_rate_of_a_convolution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "tiny", ModelConfig(4, 4, blocks=1, unshuffle=2))
    result = tmp_path / "result.json"
    arguments = ["--step", "tiny", "--rounds", "1", "--batch", "2", "--crop", "48"]
    assert main([*arguments, "--json", str(result)]) == 0
    (row,) = json.loads(result.read_text())
    assert 0 < row["share"] < row["networks_share"] < row["convolutions_share"]
    assert row["convolution_gflop_per_s"] > row["gflop_per_s"] > 0
    assert sum(row["share_of_time"].values()) == pytest.approx(1.0, abs=0.01)
    assert not row["compiled"]


def test_nothing_to_time_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "wanted is what to time" in capsys.readouterr().err


def test_no_crops_at_all_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--crops", "0"]) == 2
    assert "wanted is at least 1" in capsys.readouterr().err
