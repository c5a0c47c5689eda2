"""NIQE: the statistics, the natural model and its files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from runtime.errors import DataError
from train.measuring.niqe import (
    FEATURES,
    fit,
    fit_asymmetric,
    measure_patches,
    niqe,
    read_model,
)

Image = NDArray[np.uint8]


@pytest.mark.parametrize(("shape", "draw"), [(2.0, "normal"), (1.0, "laplace")])
def test_the_shape_of_a_known_distribution_is_found(shape: float, draw: str) -> None:
    rng = np.random.default_rng(0)
    patches = getattr(rng, draw)(0.0, 1.0, (4, 96, 96))
    found, left, right = fit_asymmetric(patches)
    # 9216 values tell a shape to about 3 %.
    assert found == pytest.approx(np.full(4, shape), rel=0.08)
    # The scale is that of exp(-|x / scale| ** shape).
    wanted = np.sqrt(2.0) if shape == 2.0 else 1.0
    assert left == pytest.approx(np.full(4, wanted), rel=0.08)
    assert right == pytest.approx(np.full(4, wanted), rel=0.08)


def test_a_lean_to_the_right_shows_in_the_scales() -> None:
    values = np.random.default_rng(0).normal(size=(1, 96, 96))
    _, left, right = fit_asymmetric(np.where(values > 0, 3.0 * values, values))
    assert right[0] > 2.5 * left[0]


def test_each_whole_patch_has_36_features(photograph: Image) -> None:
    features, sharpness = measure_patches(photograph[:200, :400])
    assert features.shape == (8, FEATURES)
    assert sharpness.shape == (8,)


def test_blur_and_noise_make_a_photograph_less_natural(natural: Path, photograph: Image) -> None:
    model = read_model(natural)
    sharp = np.ascontiguousarray(photograph[:288, 100:388])
    noise = np.random.default_rng(0).normal(0.0, 25.0, sharp.shape)
    noisy = np.clip(sharp + noise, 0, 255).astype(np.uint8)
    as_it_is = niqe(sharp, model)
    assert niqe(cv2.blur(sharp, (5, 5)), model) > as_it_is + 1.0
    assert niqe(noisy, model) > as_it_is + 1.0


def test_a_flat_picture_has_no_value(natural: Path) -> None:
    assert np.isnan(niqe(np.full((192, 192, 3), 90, np.uint8), read_model(natural)))


def test_the_authors_file_is_read_like_our_own(natural: Path, tmp_path: Path) -> None:
    own = read_model(natural)
    path = tmp_path / "theirs.mat"
    scipy.io.savemat(path, {"mu_prisparam": own.mean[None], "cov_prisparam": own.covariance})
    theirs = read_model(path)
    assert np.array_equal(theirs.mean, own.mean)
    assert np.array_equal(theirs.covariance, own.covariance)
    assert theirs.sha256 != own.sha256


@pytest.mark.parametrize("name", ["a.npz", "a.mat", "missing.npz"])
def test_a_file_without_a_model_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"nothing")
    scipy.io.savemat(tmp_path / "a.mat", {"other": np.zeros(3)})
    with pytest.raises(DataError, match="mu_pris_param"):
        read_model(tmp_path / name)


def test_too_few_patches_are_refused(photograph: Image) -> None:
    with pytest.raises(DataError, match="more than 36"):
        fit([photograph[:200, :200]])
