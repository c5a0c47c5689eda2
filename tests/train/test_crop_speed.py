"""The benchmark of decoding and blurring."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
import skimage.data

from train.bench import main


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
    assert [row["blur"] for row in rows] == ["shake", "camera"]
    assert all(row["later_crops_per_s"] > 0 and row["crops"] == 3 for row in rows)
    assert "crops/s of 64 px on one core" in capsys.readouterr().out


def test_no_crops_at_all_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--crops", "0"]) == 2
    assert "wanted is at least 1" in capsys.readouterr().err
