"""What Python refuses, C++ refuses in the same words."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from damages import DAMAGES, damaged, edit_manifest
from native_library import Library, LibraryError

import runtime
from runtime.bundle import open_bundle
from runtime.engines import choose_engine


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_bundle_is_refused_in_the_same_words(
    library: Library, small_bundle: Path, tmp_path: Path, damage: str
) -> None:
    bundle = damaged(small_bundle, tmp_path / "bundle", damage)
    with pytest.raises(runtime.BundleError) as expected:
        open_bundle(bundle)
    with pytest.raises(LibraryError) as got:
        library.open(bundle)
    assert str(got.value) == str(expected.value)


def test_json_that_breaks_off_is_an_error(
    library: Library, small_bundle: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(small_bundle, bundle)
    path = bundle / "manifest.json"
    path.write_text(path.read_text()[:200])
    with pytest.raises(LibraryError, match=r"manifest.json cannot be read: .*; copy or export"):
        library.open(bundle)


@pytest.mark.parametrize(
    "options", [{"samples": 0}, {"samples": 1025}, {"preset": "none"}, {"steps": 501}]
)
def test_an_option_is_refused_in_the_same_words(
    library: Library, small_bundle: Path, options: dict[str, object]
) -> None:
    image = np.zeros((1, 1, 3), np.uint8)
    with (
        runtime.Session(small_bundle, engine="onnx-cpu") as session,
        pytest.raises(runtime.OptionError) as expected,
    ):
        session.deblur(image, **options)  # type: ignore[call-overload]
    with library.open(small_bundle) as native, pytest.raises(LibraryError) as got:
        native.deblur(image, **options)  # type: ignore[arg-type]
    assert str(got.value) == str(expected.value)


@pytest.mark.parametrize("memory_mib", [0, -3, 1])
def test_a_budget_is_refused_in_the_same_words(
    library: Library, small_bundle: Path, memory_mib: int
) -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    with pytest.raises(runtime.OptionError) as expected:
        runtime.Session(small_bundle, memory_mib=memory_mib).deblur(image)
    with pytest.raises(LibraryError) as got:
        library.open(small_bundle, memory_mib=memory_mib).deblur(image)
    assert str(got.value) == str(expected.value)


def test_steps_that_no_table_has_are_answered_with_those_there_are(
    library: Library, small_bundle: Path
) -> None:
    image = np.zeros((1, 1, 3), np.uint8)
    with (
        library.open(small_bundle) as native,
        pytest.raises(LibraryError, match=r"got 7 steps for preset .* realtime \(2\)"),
    ):
        native.deblur(image, steps=7)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 1), (2, 3, 2), (0, 3, 3), (3, 0, 3)])
def test_a_picture_that_cannot_be_is_refused_in_the_same_words(
    library: Library, small_bundle: Path, shape: tuple[int, int, int]
) -> None:
    image = np.zeros(shape, np.uint8)
    with (
        runtime.Session(small_bundle, engine="fake") as session,
        pytest.raises(runtime.ImageError) as expected,
    ):
        session.deblur(image)
    with library.open(small_bundle, "fake") as native, pytest.raises(LibraryError) as got:
        native.deblur(image)
    # Python's advice names functions of numpy.
    came, _, _ = str(expected.value).partition(". ")
    assert str(got.value).startswith(f"{came}. ")


@pytest.mark.parametrize("engine", ["onnx-cuda", "onnx-tensorrt"])
def test_a_provider_that_is_not_there_is_named_in_the_same_words(
    library: Library, small_bundle: Path, engine: str
) -> None:
    try:
        choose_engine(engine, open_bundle(small_bundle))
    except runtime.EngineError as error:
        expected, _, _ = str(error).partition("; ")  # what to do differs
    else:
        pytest.skip(f"{engine} can run here")
    with pytest.raises(LibraryError) as got:
        library.open(small_bundle, engine)
    assert str(got.value).startswith(f"{expected}; ")
    assert "\n" not in str(got.value)


def test_numbers_that_are_not_finite_are_refused_in_the_same_words(
    library: Library, small_bundle: Path, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    bundle = tmp_path / "bundle"
    shutil.copytree(small_bundle, bundle)
    graph = onnx.load(bundle / "predictor.onnx")
    weight = next(each for each in graph.graph.initializer if len(each.dims) == 4)
    broken = np.full(tuple(weight.dims), np.nan, np.float32)
    weight.CopyFrom(onnx.numpy_helper.from_array(broken, weight.name))
    data = graph.SerializeToString()
    (bundle / "predictor.onnx").write_bytes(data)
    checksum = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit_manifest(bundle, lambda m: m["files"].update({"predictor.onnx": checksum}))  # type: ignore[attr-defined]
    image = np.zeros((8, 8, 3), np.uint8)
    with (
        runtime.Session(bundle, engine="onnx-cpu") as session,
        pytest.raises(runtime.EngineError) as expected,
    ):
        session.deblur(image, steps=0)
    with library.open(bundle) as native, pytest.raises(LibraryError) as got:
        native.deblur(image, steps=0)
    assert str(got.value) == str(expected.value)


@pytest.mark.parametrize("strength", [-1e-07, 2.5, float("nan"), float("inf")])
def test_a_strength_out_of_range_is_refused_in_the_words_of_python(
    library: Library, small_bundle: Path, strength: float
) -> None:
    image = np.zeros((1, 1, 3), np.uint8)
    with (
        runtime.Session(small_bundle, engine="fake") as python,
        pytest.raises(runtime.OptionError) as expected,
    ):
        python.deblur(image, strength=strength)
    with library.open(small_bundle) as native, pytest.raises(LibraryError) as got:
        native.deblur(image, strength=strength)
    assert str(got.value) == str(expected.value)


def test_a_self_ensemble_that_is_neither_yes_nor_no_is_refused(
    library: Library, small_bundle: Path
) -> None:
    with (
        library.open(small_bundle) as session,
        pytest.raises(LibraryError, match="got self_ensemble 7; wanted is 0, 1 or DVSR_FROM_PRE"),
    ):
        session.deblur(np.zeros((1, 1, 3), np.uint8), self_ensemble=7)
