"""A natural model for NIQE and pairs of pictures, small and real; and shallow networks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from train import network
from train.measuring.niqe import fit, write_model


@pytest.fixture(scope="session")
def natural(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of three photographs, cut into patches at several places: enough to tell blur."""
    photographs = (skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket())
    shifted = (
        np.ascontiguousarray(picture[top:, left:])
        for picture in photographs
        for top in (0, 24, 48, 72)
        for left in (0, 32, 64)
    )
    path = tmp_path_factory.mktemp("natural") / "natural.npz"
    write_model(path, fit(shifted))
    return path


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory, photograph: NDArray[np.uint8]) -> Path:
    """A folder of three pairs of 48x32 in two groups, in blur/ and sharp/; do not change it."""
    folder = tmp_path_factory.mktemp("pairs")
    for index, group in enumerate(("left", "left", "right")):
        sharp = photograph[64 * index : 64 * index + 32, 200:248, ::-1]
        for side, image in (("sharp", sharp), ("blur", cv2.blur(sharp, (5, 5)))):
            (folder / side).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / side / f"{group}_{index}.png"), image)
    return folder


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """U-Nets of two levels: soon compiled or traced."""
    monkeypatch.setattr(network, "CHANNEL_MULTIPLIERS", (1, 2))
