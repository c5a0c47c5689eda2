"""What samples change in a picture, made stronger."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import BundleError, OptionError, Session
from runtime.answer import answer_with
from runtime.bundle import open_bundle
from runtime.device_images import DeviceImages
from runtime.engines import Request, Result
from runtime.samplers import SamplerConfig, compile_table
from train.presets import write_presets

Image = NDArray[np.uint8]

TABLE = compile_table(SamplerConfig(steps=1), "x0")
GREY = np.full((1, 8, 8, 3), 100, np.uint8)


@pytest.fixture(scope="module")
def crop(photograph: Image) -> Image:
    return photograph[40:93, 180:251]


def brighten(request: Request) -> Result:
    """A network that adds 40 grey levels."""
    assert isinstance(request.images, np.ndarray)
    images = request.images + np.uint8(40)
    std = np.full(images.shape, 3.0, np.float32) if request.want_std else None
    return Result(images, std, images[:, None] if request.want_samples else None, {})


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("strength", "level"), [(0.5, 120), (1.0, 140), (1.2, 148), (2.0, 180)])
def test_a_strength_multiplies_what_is_changed(strength: float, level: int, turned: bool) -> None:
    request = Request(GREY, TABLE, 2, 0)
    images = answer_with(request, brighten, turned=turned, strength=strength).images
    assert images is not None
    assert np.unique(images).tolist() == [level]


def test_what_leaves_the_range_is_clipped() -> None:
    request = Request(GREY + np.uint8(110), TABLE, 1, 0)
    images = answer_with(request, brighten, turned=False, strength=1.5).images
    assert images is not None
    assert np.unique(images).tolist() == [255]


def test_samples_and_their_deviation_are_as_strong_as_their_mean() -> None:
    request = Request(GREY, TABLE, 1, 0, want_std=True, want_samples=True)
    result = answer_with(request, brighten, turned=False, strength=1.5)
    assert result.samples is not None
    assert result.std is not None
    assert (np.unique(result.samples).tolist(), np.unique(result.std).tolist()) == ([160], [4.5])


def test_the_preset_distortion_alone_is_stronger(session: Session) -> None:
    presets = session.bundle.presets
    assert {n: p.strength for n, p in presets.items() if p.strength != 1} == {"distortion": 1.2}


def test_a_preset_s_strength_is_that_of_the_picture(session: Session, crop: Image) -> None:
    options = {"preset": "distortion", "steps": 1, "samples": 2}
    plain = session.deblur(crop, **options, strength=1.0)  # type: ignore[call-overload]
    wanted = np.clip(np.rint(crop + 1.2 * (plain.astype(float) - crop)), 0, 255)
    found = session.deblur(crop, **options)  # type: ignore[call-overload]
    assert np.array_equal(found, wanted)


def test_a_strength_that_is_given_overrides_the_preset_s(session: Session, crop: Image) -> None:
    options = {"preset": "distortion", "steps": 1, "samples": 2}
    weak = session.deblur(crop, **options, strength=1)  # type: ignore[call-overload]
    double = session.deblur(crop, **options, strength=2.0)  # type: ignore[call-overload]
    expected = crop + 2.0 * (weak.astype(float) - crop)
    np.testing.assert_array_equal(double, np.clip(expected, 0, 255))


@pytest.mark.parametrize("strength", [0, -1.0, 2.01, float("nan"), True, "1"])
def test_what_is_no_strength_is_refused(session: Session, crop: Image, strength: object) -> None:
    with pytest.raises(OptionError, match=f"got strength {strength!r}; wanted is a number above 0"):
        session.deblur(crop, strength=strength)  # type: ignore[call-overload]


@pytest.mark.parametrize("strength", [0.0, -1.0, 2.5])
def test_a_strength_out_of_range_is_refused(
    small_bundle: Path, tmp_path: Path, strength: float
) -> None:
    bundle = open_bundle(small_bundle)
    preset = msgspec.structs.replace(bundle.preset("distortion"), strength=strength)
    with pytest.raises(BundleError, match="'distortion' has a strength that is not above 0"):
        write_presets(shutil.copytree(small_bundle, tmp_path / "b"), {"distortion": preset})


@pytest.mark.parametrize(("turned", "strength"), [(True, 1.0), (False, 1.2)])
def test_pictures_on_a_gpu_are_refused_with_the_remedy(turned: bool, strength: float) -> None:
    request = Request(GREY, TABLE, samples=2, seed=0)
    on_gpu = replace(request, images=DeviceImages.__new__(DeviceImages))
    with pytest.raises(OptionError, match="which the host does: copy them there first"):
        answer_with(on_gpu, brighten, turned=turned, strength=strength)
