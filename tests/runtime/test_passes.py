"""A second pass over what the first one gave."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import BundleError, OptionError, Session
from runtime.bundle import open_bundle
from runtime.device_images import DeviceImages
from runtime.engines import Request, Result
from runtime.passes import answer_in_passes
from runtime.samplers import SamplerConfig, compile_table
from train.presets import write_presets

Image = NDArray[np.uint8]

TABLE = compile_table(SamplerConfig(steps=1), "x0")
GREY = np.full((1, 8, 8, 3), 100, np.uint8)


@pytest.fixture(scope="module")
def session(small_bundle: Path) -> Session:
    return Session(small_bundle, engine="onnx-cpu")


@pytest.fixture(scope="module")
def crop(photograph: Image) -> Image:
    return photograph[40:93, 180:251]


def brighten(request: Request) -> Result:
    """A predictor that finds 40 grey levels missing, each time."""
    assert isinstance(request.images, np.ndarray)
    images = np.minimum(request.images.astype(int) + 40, 255).astype(np.uint8)
    samples = images[:, None] if request.want_samples else None
    return Result(images, None, samples, {"predictor": 1.0})


def passed(request: Request, second_pass: float, *, turned: bool = False) -> Result:
    return answer_in_passes(
        request, brighten, lambda images: images, turned=turned, second_pass=second_pass
    )


@pytest.mark.parametrize(("share", "level"), [(0.0, 140), (0.25, 150), (1.0, 180)])
def test_a_share_of_the_second_correction_is_added(share: float, level: int) -> None:
    images = passed(Request(GREY, TABLE, 1, 0), share).images
    assert images is not None
    assert np.unique(images).tolist() == [level]


def test_samples_get_the_second_correction_of_their_mean() -> None:
    result = passed(Request(GREY, TABLE, 1, 0, want_samples=True), 0.5)
    assert result.samples is not None
    assert np.unique(result.samples).tolist() == [160]


def test_the_times_of_both_passes_are_added_up() -> None:
    assert passed(Request(GREY, TABLE, 1, 0), 0.5).stages_ms["predictor"] == 2.0
    turned = passed(Request(GREY, TABLE, 3, 0), 0.5, turned=True)
    assert turned.stages_ms["predictor"] == 6.0


def test_the_preset_distortion_alone_looks_twice(session: Session) -> None:
    presets = session.bundle.presets
    assert {n: p.second_pass for n, p in presets.items() if p.second_pass} == {"distortion": 0.25}


def test_the_second_pass_is_the_predictor_s_on_as_many_turns(session: Session, crop: Image) -> None:
    first = session.deblur(crop, preset="balanced", steps=1, samples=2, self_ensemble=True)
    again = session.deblur(first, preset="balanced", steps=0, samples=2, self_ensemble=True)
    wanted = np.rint(first + 0.25 * (again.astype(float) - first))
    found = session.deblur(crop, preset="distortion", steps=1, samples=2)
    assert np.array_equal(found, np.clip(wanted, 0, 255))


def test_one_sample_is_not_turned_in_the_second_pass_either(session: Session, crop: Image) -> None:
    first = session.deblur(crop, preset="balanced", steps=1, samples=1)
    again = session.deblur(first, preset="balanced", steps=0)
    wanted = np.rint(first + 0.25 * (again.astype(float) - first))
    found = session.deblur(crop, preset="distortion", steps=1, samples=1)
    assert np.array_equal(found, np.clip(wanted, 0, 255))


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_that_is_none_is_refused(small_bundle: Path, tmp_path: Path, share: float) -> None:
    bundle = open_bundle(small_bundle)
    preset = msgspec.structs.replace(bundle.preset("distortion"), second_pass=share)
    with pytest.raises(BundleError, match="'distortion' has a second pass that is not a share"):
        write_presets(shutil.copytree(small_bundle, tmp_path / "b"), {"distortion": preset})


@pytest.mark.parametrize(("turned", "share"), [(True, 0.0), (False, 0.25)])
def test_pictures_on_a_gpu_are_refused_with_the_remedy(turned: bool, share: float) -> None:
    request = Request(GREY, TABLE, samples=2, seed=0)
    on_gpu = replace(request, images=DeviceImages.__new__(DeviceImages))
    with pytest.raises(OptionError, match="which the host does: copy them there first"):
        passed(on_gpu, share, turned=turned)
