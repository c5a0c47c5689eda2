"""The shipped bundle in C++ and in Python: every preset, whole and in tiles, up to a video frame.

What takes minutes is marked long. 500 steps of a whole video frame take hours with the shipped
networks; there a thin network of random weights, exported here, stands in as well. Each test
records how far the two are apart, in ``-o junit_family=xunit1 --junitxml=FILE``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from agreement import check_same
from damages import with_working_bytes
from native_library import Library, NativeSession
from numpy.typing import NDArray

import runtime
from export.onnx import export
from runtime.bundle import open_bundle
from runtime.tiles import MIB, kept_bytes, portion_that_fits

SHIPPED = Path(runtime.__file__).parent / "bundles" / "tiny"
STEPS = {"balanced": 10, "distortion": 10, "paper-sa": 10, "perception": 500, "realtime": 2}
# What both languages do in about a second.
_MOST_PIXEL_STEPS = 150_000

Sessions = tuple[NativeSession, runtime.Session]


@dataclass(frozen=True)
class Case:
    """A size, and for tiles the memory that leaves room for none but small ones."""

    height_px: int
    width_px: int
    memory_mib: int | None = None
    bytes_per_px: int | None = None  # None: as measured for the bundle
    thin: bool = False

    @property
    def padded_pixels(self) -> int:
        return (-(-self.height_px // 32) * 32) * (-(-self.width_px // 32) * 32)

    def __str__(self) -> str:
        cut = "" if self.memory_mib is None else "-tiles"
        return f"{self.width_px}x{self.height_px}{cut}{'-thin' if self.thin else ''}"


WHOLE = [Case(1, 1), Case(17, 31), Case(48, 64), Case(256, 256), Case(720, 1280)]
# Tiles of 64, 128 and some 300 px. Smaller pictures have no more than the smallest tile there is.
TILED = [Case(96, 128, 4, 400), Case(256, 256, 20), Case(720, 1280, 200)]
THIN = [Case(720, 1280, thin=True), Case(720, 1280, 200, 700, thin=True)]


def calls() -> Iterator[object]:
    for case in (*WHOLE, *TILED):
        for preset, steps in STEPS.items():
            for samples in (1, 3):
                slow = case.padded_pixels * steps * samples > _MOST_PIXEL_STEPS
                marks = [pytest.mark.long] if slow else []
                yield pytest.param(
                    case, preset, samples, marks=marks, id=f"{case}-{preset}-{samples}"
                )
    for case in THIN:
        for samples in (1, 3):
            name = f"{case}-perception-{samples}"
            yield pytest.param(case, "perception", samples, marks=pytest.mark.long, id=name)


@pytest.fixture(scope="module")
def thin_bundle(
    make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A sixty-fourth of the shipped networks' work."""
    target = tmp_path_factory.mktemp("thin") / "bundle"
    export(make_checkpoint(unshuffle=4), target)
    return target


@pytest.fixture(scope="module")
def sessions(
    library: Library, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[Case], Sessions]]:
    """Both on ONNX Runtime's CPU provider, opened once for each case."""
    pytest.importorskip("onnxruntime", reason="ONNX Runtime's Python package is not installed")
    with ExitStack() as stack:

        @cache
        def opened(case: Case) -> Sessions:
            bundle = request.getfixturevalue("thin_bundle") if case.thin else SHIPPED
            memory_mib = case.memory_mib
            if case.bytes_per_px is not None:
                copy = tmp_path_factory.mktemp("copy") / "bundle"
                bundle = with_working_bytes(bundle, copy, case.bytes_per_px)
            native = library.open(bundle, memory_mib=memory_mib)
            python = runtime.Session(bundle, engine="onnx-cpu", memory_mib=memory_mib)
            return stack.enter_context(native), stack.enter_context(python)

        yield opened


@pytest.mark.parametrize(("case", "preset", "samples"), list(calls()))
def test_pictures_of_the_shipped_bundle_agree(
    record_property: Callable[[str, object], None],
    sessions: Callable[[Case], Sessions],
    photograph: NDArray[np.uint8],
    case: Case,
    preset: str,
    samples: int,
) -> None:
    native, python = sessions(case)
    large = np.tile(photograph, (2, 3, 1))
    image = np.ascontiguousarray(large[100 : 100 + case.height_px, 200 : 200 + case.width_px])
    got, _ = native.deblur(image, preset=preset, samples=samples)
    expected = python.deblur(image, preset=preset, samples=samples)
    levels, share = check_same(got, expected)
    record_property("grey_levels", levels)
    record_property("share_of_samples", share)


def test_the_presets_are_all_that_the_bundle_has() -> None:
    presets = open_bundle(SHIPPED).presets
    assert {name: preset.table.steps for name, preset in presets.items()} == STEPS


@pytest.mark.parametrize("case", [*TILED, THIN[1]], ids=str)
def test_what_is_called_tiled_does_not_fit_as_a_whole(case: Case) -> None:
    manifest = open_bundle(SHIPPED).manifest
    assert case.memory_mib is not None
    portion = portion_that_fits(
        case.memory_mib * MIB - kept_bytes(case.memory_mib * MIB),
        1,
        3,
        case.height_px,
        case.width_px,
        bytes_per_px=case.bytes_per_px or manifest.tiling.working_bytes_per_px or 0,
        multiple_px=manifest.size_multiple_px,
    )
    assert portion.tile_px is not None
    assert portion.tile_px < min(case.height_px, case.width_px)
