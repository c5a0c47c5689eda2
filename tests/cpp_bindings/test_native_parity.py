"""The same bundle, the same picture: C++ against Python, both on ONNX Runtime's CPU provider."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from agreement import check_same
from damages import with_working_bytes
from native_library import Library, NativeSession
from numpy.typing import NDArray

import runtime

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def native(library: Library, small_bundle: Path) -> Iterator[NativeSession]:
    with library.open(small_bundle) as session:
        yield session


@pytest.fixture(scope="module")
def python(small_bundle: Path) -> Iterator[runtime.Session]:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime's Python package is not installed")
    with runtime.Session(small_bundle, engine="onnx-cpu") as session:
        yield session


SIZES = [(1, 1), (17, 31), (64, 64), (48, 16), (136, 200)]


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("preset", ["balanced", "realtime"])
@pytest.mark.parametrize(("height_px", "width_px"), SIZES)
def test_pictures_agree(
    native: NativeSession,
    python: runtime.Session,
    photograph: Image,
    height_px: int,
    width_px: int,
    preset: str,
    samples: int,
) -> None:
    image = np.ascontiguousarray(photograph[100 : 100 + height_px, 200 : 200 + width_px])
    expected, deviation = python.deblur(
        image, preset=preset, samples=samples, seed=11, return_std=True
    )
    got, spread = native.deblur(image, preset=preset, samples=samples, seed=11)
    check_same(got, expected)
    np.testing.assert_allclose(spread, deviation, atol=1e-2)  # grey levels


@pytest.mark.parametrize("preset", ["balanced", "distortion", "paper-sa", "perception", "realtime"])
def test_every_preset_agrees(
    native: NativeSession, python: runtime.Session, photograph: Image, preset: str
) -> None:
    image = np.ascontiguousarray(photograph[:17, :31])
    got, _ = native.deblur(image, preset=preset)
    check_same(got, python.deblur(image, preset=preset))


@pytest.mark.parametrize(("preset", "turns"), [("realtime", 1), ("distortion", 0)])
def test_what_is_said_of_the_self_ensemble_overrides_the_preset(
    native: NativeSession, python: runtime.Session, photograph: Image, preset: str, turns: int
) -> None:
    image = np.ascontiguousarray(photograph[:17, :31])
    got, _ = native.deblur(image, preset=preset, samples=3, self_ensemble=turns)
    check_same(got, python.deblur(image, preset=preset, samples=3, self_ensemble=bool(turns)))


@pytest.mark.parametrize(("preset", "strength"), [("realtime", 1.7), ("distortion", 0.5)])
def test_a_strength_that_is_given_overrides_the_preset_s(
    native: NativeSession, python: runtime.Session, photograph: Image, preset: str, strength: float
) -> None:
    image = np.ascontiguousarray(photograph[:17, :31])
    options = {"preset": preset, "samples": 3, "strength": strength}
    got, spread = native.deblur(image, **options)
    expected, deviation = python.deblur(image, **options, return_std=True)  # type: ignore[call-overload]
    check_same(got, expected)
    np.testing.assert_allclose(spread, deviation, atol=1e-2)  # grey levels


def test_what_an_older_header_does_not_have_is_not_read(
    native: NativeSession, photograph: Image
) -> None:
    image = np.ascontiguousarray(photograph[:17, :31])
    options = {"preset": "realtime", "samples": 3}
    older = native.deblur(image, **options, self_ensemble=1, struct_size=40)
    assert np.array_equal(older[0], native.deblur(image, **options)[0])


def test_the_predictor_alone_agrees(
    native: NativeSession, python: runtime.Session, photograph: Image
) -> None:
    image = np.ascontiguousarray(photograph[:17, :31])
    got, spread = native.deblur(image, steps=0)
    check_same(got, python.deblur(image, steps=0))
    assert not spread.any()


@pytest.mark.parametrize("side_px", range(2, 17))
def test_reflection_agrees_however_small_the_picture(
    native: NativeSession, python: runtime.Session, photograph: Image, side_px: int
) -> None:
    image = np.ascontiguousarray(photograph[:side_px, :3])
    got, _ = native.deblur(image, steps=0)
    check_same(got, python.deblur(image, steps=0))


# Bytes a pixel such that the budget leaves room for tiles of 24, 40, 24 and 56 px.
TILED = [(17, 31, 1500, 1), (64, 64, 250, 1), (48, 16, 1500, 1), (136, 200, 1200, 8)]


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize(("height_px", "width_px", "bytes_per_px", "memory_mib"), TILED)
def test_pictures_in_tiles_agree(
    library: Library,
    small_bundle: Path,
    photograph: Image,
    tmp_path: Path,
    height_px: int,
    width_px: int,
    bytes_per_px: int,
    memory_mib: int,
    samples: int,
) -> None:
    bundle = with_working_bytes(small_bundle, tmp_path / "bundle", bytes_per_px)
    image = np.ascontiguousarray(photograph[100 : 100 + height_px, 200 : 200 + width_px])
    with runtime.Session(bundle, memory_mib=memory_mib) as python:
        expected, deviation = python.deblur(
            image, preset="balanced", samples=samples, return_std=True
        )
    with library.open(bundle, memory_mib=memory_mib) as native:
        got, spread = native.deblur(image, preset="balanced", samples=samples)
    check_same(got, expected)
    np.testing.assert_allclose(spread, deviation, atol=1e-2)  # grey levels


def test_a_budget_that_forces_tiles_changes_the_work(
    library: Library, small_bundle: Path, photograph: Image, tmp_path: Path
) -> None:
    bundle = with_working_bytes(small_bundle, tmp_path / "bundle", 1200)
    image = np.ascontiguousarray(photograph[:136, :200])
    with library.open(bundle, memory_mib=8) as tiled, library.open(bundle) as whole:
        assert (tiled.deblur(image)[0] != whole.deblur(image)[0]).any()
