from __future__ import annotations

from collections.abc import Callable
from itertools import chain, repeat

import msgspec

from runtime.bundle import Tiling, open_bundle
from runtime.camera.tiling import tiles_are_faster, tiles_mib

MANIFEST = open_bundle().manifest


def times(*milliseconds: float) -> Callable[[], float]:
    """Those times in turn, the last one from then on."""
    waiting = chain(milliseconds, repeat(milliseconds[-1]))
    return lambda: next(waiting)


def test_clearly_faster_tiles_are_taken() -> None:
    assert tiles_are_faster(times(100.0), times(90.0)) == (True, 100.0, 90.0)


def test_a_gain_within_the_noise_is_none() -> None:
    assert not tiles_are_faster(times(100.0), times(97.0))[0]


def test_the_first_run_of_each_is_not_counted() -> None:
    assert tiles_are_faster(times(1.0, 100.0), times(900.0, 90.0)) == (True, 100.0, 90.0)


def test_tiles_need_less_memory_than_the_whole() -> None:
    manifest = msgspec.structs.replace(MANIFEST, tiling=Tiling(60, 4000))
    needed = tiles_mib(manifest, 480, 640, None)
    assert needed is not None
    assert 480 * 640 * 4000 / 4 / 2**20 < needed < 480 * 640 * 4000 / 2**20


def test_a_memory_limit_that_makes_tiles_already_is_left_alone() -> None:
    manifest = msgspec.structs.replace(MANIFEST, tiling=Tiling(60, 4000))
    assert tiles_mib(manifest, 480, 640, 100) is None


def test_a_bundle_that_does_not_know_its_memory_is_run_whole() -> None:
    manifest = msgspec.structs.replace(MANIFEST, tiling=Tiling(60, None))
    assert tiles_mib(manifest, 480, 640, None) is None


def test_a_frame_that_is_small_anyway_is_run_whole() -> None:
    manifest = msgspec.structs.replace(MANIFEST, tiling=Tiling(60, 4000))
    assert tiles_mib(manifest, 8, 8, None) is None
