from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.metrics
from numpy.typing import NDArray

from runtime.bench.quality import IDENTICAL_DB, measure_quality, psnr_db, read_pairs
from runtime.errors import DataError


def test_psnr_is_scikit_images(photograph: NDArray[np.uint8]) -> None:
    a, b = photograph[:64, :64], photograph[1:65, :64]
    assert psnr_db(a, b) == pytest.approx(skimage.metrics.peak_signal_noise_ratio(b, a))


def test_equal_pictures_are_as_good_as_a_number_can_say(photograph: NDArray[np.uint8]) -> None:
    assert psnr_db(photograph, photograph) == IDENTICAL_DB


def test_doing_nothing_is_as_good_as_the_input(pairs: Path) -> None:
    quality = measure_quality(lambda image: image, read_pairs(pairs, 2))
    assert quality.pictures == 2
    assert quality.psnr_db == quality.blurred_psnr_db


def test_no_more_pairs_are_read_than_asked_for(pairs: Path) -> None:
    assert len(read_pairs(pairs, 1).blurred) == 1


def test_a_picture_without_counterpart_is_refused(pairs: Path, tmp_path: Path) -> None:
    for kind in ("blur", "sharp"):
        (tmp_path / kind).mkdir()
    (tmp_path / "blur" / "0.png").write_bytes((pairs / "blur" / "0.png").read_bytes())
    with pytest.raises(DataError, match=r"0\.png"):
        read_pairs(tmp_path, 1)


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="blur"):
        read_pairs(tmp_path, 1)
