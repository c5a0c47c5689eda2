"""The command that fits NIQE's natural model."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from train.measuring.niqe import FEATURES, read_model
from train.naturalness import main

Image = NDArray[np.uint8]


def test_the_command_fits_a_folder_and_leaves_out_what_is_broken(
    photograph: Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sharp"
    folder.mkdir()
    for turn in range(4):
        picture = np.rot90(photograph, turn)[:, :, ::-1]
        cv2.imwrite(str(folder / f"{turn}.png"), np.tile(picture, (2, 2, 1)))
    (folder / "broken.png").write_bytes(b"nothing")
    assert main([str(folder), "-o", str(tmp_path / "natural.npz")]) == 0
    assert "left out" in capsys.readouterr().out
    assert read_model(tmp_path / "natural.npz").covariance.shape == (FEATURES, FEATURES)
