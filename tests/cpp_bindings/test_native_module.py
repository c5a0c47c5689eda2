"""The Python module dvsr_native, where it is installed: pip install ./cpp_bindings."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from agreement import check_same
from damages import DAMAGES, damaged
from numpy.typing import NDArray

import runtime
from runtime.bundle import open_bundle
from runtime.noise import normals

dvsr_native = pytest.importorskip(
    "dvsr_native", reason="not installed; see cpp_bindings/README.md (pip install ./cpp_bindings)"
)

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_front_door_is_what_it_says() -> None:
    assert dvsr_native.__all__ == sorted(dvsr_native.__all__)
    # Those of TensorRT come first, where the module was built with it.
    ours = ["onnx-cuda", "onnx-tensorrt", "onnx-cpu", "fake"]
    assert dvsr_native.engines()[-len(ours) :] == ours


def test_the_stored_stub_is_what_the_module_offers(tmp_path: Path) -> None:
    stubgen = pytest.importorskip("nanobind.stubgen", reason="nanobind is not installed")
    stubgen.main(["-q", "-m", "dvsr_native._dvsr", "-o", str(tmp_path / "_dvsr.pyi")])
    stored = REPOSITORY / "cpp_bindings" / "python" / "dvsr_native" / "_dvsr.pyi"
    assert (tmp_path / "_dvsr.pyi").read_text() == stored.read_text()


def test_pictures_agree_with_the_runtime(small_bundle: Path, photograph: NDArray[np.uint8]) -> None:
    image = photograph[40:90:2, 300:200:-3]  # a view with steps, one of them backwards
    session = dvsr_native.Session(small_bundle)
    got = session.deblur(image, preset="realtime", samples=3, seed=2**64 - 1)
    with runtime.Session(small_bundle, engine="onnx-cpu") as python:
        expected = python.deblur(image, preset="realtime", samples=3, seed=2**64 - 1)
    np.testing.assert_allclose(got, expected.astype(int), atol=1)
    # Python's session also tells the single steps and the conversions.
    assert set(session.timings) <= set(python.timings)


def test_the_spread_of_the_samples_comes_along_when_asked_for(
    small_bundle: Path, photograph: NDArray[np.uint8]
) -> None:
    image = photograph[:17, :31]
    options = {"preset": "realtime", "samples": 3, "return_std": True}
    got, spread = dvsr_native.Session(small_bundle).deblur(image, **options)
    with runtime.Session(small_bundle, engine="onnx-cpu") as python:
        expected, deviation = python.deblur(image, **options)  # type: ignore[call-overload]
    np.testing.assert_allclose(got, expected.astype(int), atol=1)
    assert spread.dtype == deviation.dtype
    np.testing.assert_allclose(spread, deviation, atol=1e-2)  # grey levels


# Each against what the preset says; engine fake would be indifferent to turns.
@pytest.mark.parametrize(("preset", "turns"), [("realtime", True), ("distortion", False)])
def test_the_keyword_decides_whether_samples_are_drawn_turned(
    small_bundle: Path, photograph: NDArray[np.uint8], preset: str, turns: bool
) -> None:
    image = np.ascontiguousarray(photograph[:17, :31])
    options = {"preset": preset, "samples": 3, "self_ensemble": turns}
    got = dvsr_native.Session(small_bundle).deblur(image, **options)
    with runtime.Session(small_bundle, engine="onnx-cpu") as python:
        expected = python.deblur(image, **options)  # type: ignore[call-overload]
    check_same(got, expected)


def test_the_keyword_strength_is_that_of_the_picture(
    small_bundle: Path, photograph: NDArray[np.uint8]
) -> None:
    image = np.ascontiguousarray(photograph[:17, :31])
    options = {"steps": 0, "strength": 0.5}
    got = dvsr_native.Session(small_bundle).deblur(image, **options)
    with runtime.Session(small_bundle, engine="onnx-cpu") as python:
        expected = python.deblur(image, **options)  # type: ignore[call-overload]
    check_same(got, expected)


def test_a_budget_of_nothing_is_refused_in_the_words_of_python(small_bundle: Path) -> None:
    with pytest.raises(dvsr_native.DvsrError, match="got memory_mib 0; wanted is at least 1"):
        dvsr_native.Session(small_bundle, engine="fake", memory_mib=0)


def test_noise_has_the_same_bits() -> None:
    np.testing.assert_array_equal(dvsr_native.normals(3, 2, 1, 5, 7), normals(3, 2, 1, 5, 7))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((2, 3), np.uint8), r"got uint8 \(2, 3\); wanted is uint8 RGB"),
        (np.zeros((2, 3, 3)), r"got float64 \(2, 3, 3\); wanted is uint8 RGB"),
        (np.zeros((2, 3, 4), np.uint8), r"got uint8 \(2, 3, 4\); wanted is uint8 RGB"),
        (np.zeros((0, 3, 3), np.uint8), "An empty picture has nothing to deblur"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(
    small_bundle: Path, image: NDArray[np.uint8], words: str
) -> None:
    session = dvsr_native.Session(small_bundle, engine="fake")
    with pytest.raises(dvsr_native.DvsrError, match=words):
        session.deblur(image)


@pytest.mark.parametrize("nothing", [None, "no picture", [[[1, 2, 3]]]])
def test_what_is_no_array_is_a_type_error(small_bundle: Path, nothing: object) -> None:
    session = dvsr_native.Session(small_bundle, engine="fake")
    with pytest.raises(TypeError, match="incompatible function arguments"):
        session.deblur(nothing)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_bundle_is_refused_in_the_words_of_python(
    small_bundle: Path, tmp_path: Path, damage: str
) -> None:
    bundle = damaged(small_bundle, tmp_path / "bundle", damage)
    with pytest.raises(runtime.BundleError) as expected:
        open_bundle(bundle)
    with pytest.raises(dvsr_native.DvsrError) as got:
        dvsr_native.Session(bundle)
    assert str(got.value) == str(expected.value)


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(dvsr_native.DvsrError, match="no bundle at"):
        dvsr_native.Session(tmp_path)


def test_other_python_threads_run_while_one_deblurs(
    small_bundle: Path, photograph: NDArray[np.uint8]
) -> None:
    session = dvsr_native.Session(small_bundle, engine="fake")
    worker = threading.Thread(target=session.deblur, args=(photograph,))
    turns = 0
    worker.start()
    while worker.is_alive():
        turns += 1
    assert turns > 100
