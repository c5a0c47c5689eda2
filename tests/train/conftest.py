"""A natural model for NIQE, small and real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data

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
