"""Whether frames are faster whole or in tiles: measured, where there is a time budget."""

from __future__ import annotations

from collections.abc import Callable

from runtime.bundle import Manifest
from runtime.tiles import MIB

_TILES = 4
_LOOP_BYTES_PER_PX = 12 * 3 * 4  # the picture-sized arrays that no tiling makes smaller
_REPEATS = 2
_WORTH = 0.95  # a smaller gain is no gain: times vary by as much


def tiles_mib(
    manifest: Manifest, height_px: int, width_px: int, limit_mib: int | None
) -> int | None:
    """The memory in which frames of that size run as tiles of a quarter of their area.

    None where the bundle does not know its memory, where the whole frame would fit as well, and
    where ``limit_mib`` makes such tiles already.
    """
    bytes_per_px = manifest.tiling.working_bytes_per_px
    if bytes_per_px is None:
        return None
    pixels = height_px * width_px
    quarter = pixels * (_LOOP_BYTES_PER_PX + bytes_per_px // _TILES) // MIB + 1
    whole = pixels * (_LOOP_BYTES_PER_PX + bytes_per_px) // MIB
    return quarter if quarter < min(whole, whole if limit_mib is None else limit_mib) else None


def tiles_are_faster(
    whole: Callable[[], float], tiled: Callable[[], float]
) -> tuple[bool, float, float]:
    """Whether ``tiled`` beats ``whole`` clearly, and the best milliseconds of whole and tiled.

    Both run one frame and return its milliseconds; the first run of each is not counted, and they
    take turns, so that a machine that slows down slows both.
    """
    whole()
    tiled()
    times = [(whole(), tiled()) for _ in range(_REPEATS)]
    whole_ms, tiled_ms = (min(each) for each in zip(*times, strict=True))
    return tiled_ms < _WORTH * whole_ms, whole_ms, tiled_ms
