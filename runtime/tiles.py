"""Pictures larger than memory: overlapping tiles that are blended at every step.

Predictor and denoiser see a picture through a finite window, so a picture can be cut. Blending only
finished tiles would show seams, since two tiles sample two different pictures; here the tiles share
one state and one field of noise, and their outputs are averaged after each step, with weights that
sum to one at every pixel (the idea of Bar-Tal et al., "MultiDiffusion", 2023, for restoration).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.engines import Engine
from runtime.errors import EngineError, OptionError

Floats = NDArray[np.float32]

MIB = 2**20
SHARE_OF_FREE_MEMORY = 0.8

# Float32 pictures of three channels that the loop holds beside the engine: y, guess, z, noise,
# previous, their successors, and the running mean and spread of the samples.
_LOOP_BYTES_PER_PX = 12 * 3 * 4

# What a session keeps between calls, of the noise and of the loop's arrays each, and at most which
# share of a memory that is stated.
KEPT_BYTES = 128 * MIB
_KEPT_SHARE = 8

# In multiples of the bundle's size rule: with an overlap of a quarter on both sides, a tile of one
# would have no middle left to advance by.
_SMALLEST_TILE = 2


@dataclass(frozen=True)
class Span:
    """One tile along one axis: where it starts and the weight of each of its rows or columns."""

    start_px: int
    weights: Floats


@dataclass(frozen=True)
class TilePlan:
    """Tiles as the product of spans along height and width."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.rows) * len(self.columns)


def plan_tiles(
    height_px: int, width_px: int, *, tile_px: int, overlap_px: int, multiple_px: int
) -> TilePlan:
    """Cover (height_px, width_px) with tiles of at most ``tile_px`` a side.

    Neighbours share at least ``overlap_px``. All sizes but the overlap are multiples of
    ``multiple_px``. Raises OptionError for a tile that the overlap would not let advance.
    """
    if tile_px % multiple_px or tile_px < 2 * overlap_px + multiple_px:
        raise OptionError(
            f"got tiles of {tile_px} px with an overlap of {overlap_px} px; wanted is a multiple "
            f"of {multiple_px} of at least {2 * overlap_px + multiple_px}"
        )
    rows, columns = (
        _spans(extent, tile_px, overlap_px, multiple_px) for extent in (height_px, width_px)
    )
    return TilePlan(rows, columns)


def kept_bytes(budget_bytes: int) -> int:
    """What of a stated memory a session may keep between calls; the rest is for the call."""
    return min(KEPT_BYTES, budget_bytes // _KEPT_SHARE)


def tile_side_px(
    budget_bytes: int,
    height_px: int,
    width_px: int,
    *,
    bytes_per_px: int,
    multiple_px: int,
    held_bytes: int = 0,
) -> int | None:
    """The largest square tile that fits, or None where the whole picture does.

    ``bytes_per_px`` is what the engine works with for each pixel given to it, ``held_bytes`` what
    the budget holds already. Raises OptionError where not even the picture's own arrays fit.
    """
    pixels = height_px * width_px
    own = held_bytes + pixels * _LOOP_BYTES_PER_PX
    left = budget_bytes - own
    if left >= pixels * bytes_per_px:
        return None
    side = (max(left, 0) / bytes_per_px) ** 0.5
    whole = int(side) // multiple_px * multiple_px
    least = _SMALLEST_TILE * multiple_px
    if whole < least:
        smallest = own + least**2 * bytes_per_px
        # Of a stated memory the session keeps a part; what was stated is what people know.
        stated = smallest + min(KEPT_BYTES, smallest // (_KEPT_SHARE - 1))
        raise OptionError(
            f"the memory is too small for {width_px}x{height_px} px; wanted are at least "
            f"{-(-stated // MIB)} MiB: raise it or make the picture smaller"
        )
    return whole


@dataclass(frozen=True)
class Portion:
    """What goes through the engine at once: pictures, samples of each, and tiles if not None."""

    images: int
    samples: int
    tile_px: int | None = None


def portion_that_fits(
    budget_bytes: int,
    images: int,
    samples: int,
    height_px: int,
    width_px: int,
    *,
    bytes_per_px: int,
    multiple_px: int,
    held_bytes: int = 0,
) -> Portion:
    """As much of ``samples`` of each of ``images`` pictures at once as the budget allows.

    ``held_bytes`` of it are taken. Raises OptionError where not even one picture's own arrays fit.
    """
    free = max(budget_bytes - held_bytes, 0)
    fitting = free // (height_px * width_px * (_LOOP_BYTES_PER_PX + bytes_per_px))
    if fitting >= images:
        return Portion(images, min(samples, fitting // images))
    if fitting >= 1:
        return Portion(fitting, 1)
    side = tile_side_px(
        budget_bytes,
        height_px,
        width_px,
        bytes_per_px=bytes_per_px,
        multiple_px=multiple_px,
        held_bytes=held_bytes,
    )
    return Portion(1, 1, side)


def tile_that_fits(
    fits: Callable[[int, int], bool], height_px: int, width_px: int, *, multiple_px: int
) -> Portion:
    """One sample of one picture, whole or in tiles that ``fits(height_px, width_px)`` accepts.

    Raises EngineError where it accepts not even the smallest.
    """
    if fits(height_px, width_px):
        return Portion(1, 1)
    side = max(height_px, width_px)
    while side > _SMALLEST_TILE * multiple_px:
        side = max(side // 2 // multiple_px, _SMALLEST_TILE) * multiple_px
        if fits(min(side, height_px), min(side, width_px)):
            return Portion(1, 1, side)
    raise EngineError(
        f"the engine takes neither {width_px}x{height_px} px nor any tile of it; give it more "
        "memory, or build engines with a profile that this picture or its tiles lie in"
    )


def tiled(
    engine: Engine,
    side_px: int,
    height_px: int,
    width_px: int,
    *,
    receptive_radius_px: int,
    multiple_px: int,
) -> TiledEngine:
    """``engine``, run in tiles of ``side_px`` on pictures of that height and width.

    An outer quarter of each overlap gets no weight, so with an overlap of four radii no tile's edge
    has any influence; a quarter of a tile is what is affordable.
    """
    overlap = min(4 * receptive_radius_px, side_px // 4)
    plan = plan_tiles(
        height_px, width_px, tile_px=side_px, overlap_px=overlap, multiple_px=multiple_px
    )
    return TiledEngine(engine, plan)


def available_bytes() -> int:
    """Most of the memory that the system can give without swapping; the rest is for the others."""
    return int(SHARE_OF_FREE_MEMORY * _free_bytes())


def _free_bytes() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux: what is free now, without what the cache would give up
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024


def _spans(extent: int, tile: int, overlap: int, multiple: int) -> tuple[Span, ...]:
    starts = _starts(extent, tile, overlap, multiple)
    length = min(tile, extent)
    raw = []
    for index, start in enumerate(starts):
        weights = np.ones(length)
        if index > 0:
            weights *= _ramp(length, starts[index - 1] + length - start)
        if index + 1 < len(starts):
            weights *= _ramp(length, start + length - starts[index + 1])[::-1]
        raw.append(weights)
    total = np.zeros(extent)
    for start, weights in zip(starts, raw, strict=True):
        total[start : start + length] += weights
    return tuple(
        Span(start, (weights / total[start : start + length]).astype(np.float32))
        for start, weights in zip(starts, raw, strict=True)
    )


def _starts(extent: int, tile: int, overlap: int, multiple: int) -> list[int]:
    if extent <= tile:
        return [0]
    count = -(-(extent - overlap) // (tile - overlap))
    while True:
        # Spread evenly: neighbours then share as much as the number of tiles allows.
        ideal = np.arange(count) * (extent - tile) / (count - 1)
        starts = [int(start) // multiple * multiple for start in ideal]
        starts[-1] = extent - tile
        if min(tile - np.diff(starts)) >= overlap:
            return starts
        count += 1


def _ramp(length: int, shared: int) -> NDArray[np.float64]:
    """Rise from 0 to 1 in the middle half of the ``shared`` pixels.

    The outermost quarter gets no weight: what a network makes of a tile's edge is worst there.
    """
    position = (np.arange(length) + 0.5) / max(shared, 1)
    return np.clip(2.0 * position - 0.5, 1e-6, 1.0)


class TiledEngine:
    """An engine that runs another one tile by tile and blends; safe to share like the other."""

    def __init__(self, inner: Engine, plan: TilePlan) -> None:
        self._inner = inner
        self._plan = plan

    @property
    def name(self) -> str:
        return f"{self._inner.name}, {self._plan.count} tiles"

    def predict(self, y: Floats) -> Floats:
        return self._blend(lambda cut: (self._inner.predict(cut(y)),), y)[0]

    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        def run(cut: Callable[[Floats], Floats]) -> tuple[Floats, ...]:
            return self._inner.step(cut(z), cut(y), cut(noise), cut(previous), row)

        z_next, residual = self._blend(run, y)
        return z_next, residual

    def _blend(
        self, run: Callable[[Callable[[Floats], Floats]], tuple[Floats, ...]], like: Floats
    ) -> list[Floats]:
        """Weighted sums of the outputs of ``run``, which is given what cuts a tile out."""
        sums: list[Floats] = []
        for row in self._plan.rows:
            for column in self._plan.columns:
                window = _window(row, column)

                def cut(x: Floats, window: tuple[slice, slice] = window) -> Floats:
                    return np.ascontiguousarray(x[:, :, window[0], window[1]])

                outputs = run(cut)
                sums = sums or [np.zeros_like(like) for _ in outputs]
                weights = row.weights[:, None] * column.weights[None, :]
                for total, output in zip(sums, outputs, strict=True):
                    total[:, :, window[0], window[1]] += weights * output
        return sums


def _window(row: Span, column: Span) -> tuple[slice, slice]:
    return (
        slice(row.start_px, row.start_px + len(row.weights)),
        slice(column.start_px, column.start_px + len(column.weights)),
    )
