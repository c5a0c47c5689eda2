from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.errors import OptionError
from runtime.tiles import TiledEngine, TilePlan, plan_tiles, tile_side_px


def total_weight(plan: TilePlan, height: int, width: int) -> NDArray[np.float64]:
    total = np.zeros((height, width))
    for row in plan.rows:
        for column in plan.columns:
            rows = slice(row.start_px, row.start_px + len(row.weights))
            columns = slice(column.start_px, column.start_px + len(column.weights))
            total[rows, columns] += row.weights[:, None] * column.weights[None, :]
    return total


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    tile=st.integers(3, 12),
    overlap=st.integers(0, 8),
)
def test_weights_sum_to_one_at_every_pixel(
    height: int, width: int, tile: int, overlap: int
) -> None:
    height, width, tile = 8 * height, 8 * width, max(8 * tile, 2 * overlap + 8)
    tile = -(-tile // 8) * 8
    plan = plan_tiles(height, width, tile_px=tile, overlap_px=overlap, multiple_px=8)
    assert total_weight(plan, height, width) == pytest.approx(1.0, abs=1e-5)


def test_a_picture_that_fits_is_one_tile() -> None:
    assert plan_tiles(64, 96, tile_px=96, overlap_px=16, multiple_px=8).count == 1


def test_tiles_start_at_multiples_and_overlap_as_asked() -> None:
    plan = plan_tiles(512, 64, tile_px=128, overlap_px=40, multiple_px=16)
    starts = [span.start_px for span in plan.rows]
    assert all(start % 16 == 0 for start in starts)
    assert max(np.diff(starts)) <= 128 - 40


@pytest.mark.parametrize(("tile", "overlap"), [(60, 8), (64, 32), (0, 0)])
def test_a_tile_that_cannot_advance_is_refused(tile: int, overlap: int) -> None:
    with pytest.raises(OptionError, match="multiple of 8"):
        plan_tiles(256, 256, tile_px=tile, overlap_px=overlap, multiple_px=8)


class Blur:
    """An engine with a known window of two pixels to each side, and nothing beyond a tile."""

    name = "blur"

    def predict(self, y: NDArray[np.float32]) -> NDArray[np.float32]:
        padded = np.pad(y, ((0, 0), (0, 0), (2, 2), (2, 2)))
        parts = [padded[:, :, i : i + y.shape[2], i : i + y.shape[3]] for i in range(5)]
        return np.mean(parts, axis=0, dtype=np.float32)

    def step(
        self,
        z: NDArray[np.float32],
        y: NDArray[np.float32],
        noise: NDArray[np.float32],
        previous: NDArray[np.float32],
        row: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        residual = self.predict(z) + y
        return row[0] * residual + noise, residual + previous


def test_tiles_that_overlap_by_the_window_give_the_whole_pictures_result() -> None:
    plan = plan_tiles(96, 128, tile_px=48, overlap_px=8, multiple_px=8)
    rng = np.random.default_rng(0)
    z, y, noise, previous = rng.standard_normal((4, 1, 3, 96, 128)).astype(np.float32)
    row = np.array([0.5], np.float32)
    whole, tiled = Blur(), TiledEngine(Blur(), plan)
    assert tiled.predict(y) == pytest.approx(whole.predict(y), abs=1e-5)
    for a, b in zip(
        tiled.step(z, y, noise, previous, row), whole.step(z, y, noise, previous, row), strict=True
    ):
        assert a == pytest.approx(b, abs=1e-5)


def test_a_picture_within_the_budget_is_not_cut() -> None:
    assert tile_side_px(2**30, 64, 64, bytes_per_px=1000, multiple_px=8) is None


def test_the_tile_fits_what_the_picture_leaves_of_the_budget() -> None:
    side = tile_side_px(600 * 2**20, 1024, 1024, bytes_per_px=2000, multiple_px=16)
    assert side is not None
    assert side % 16 == 0
    assert side**2 * 2000 + 1024**2 * 144 <= 600 * 2**20


def test_a_budget_below_the_pictures_own_arrays_is_refused() -> None:
    with pytest.raises(OptionError, match="MiB"):
        tile_side_px(2**20, 1024, 1024, bytes_per_px=2000, multiple_px=16)


def test_a_plan_of_several_tiles_is_named() -> None:
    plan = plan_tiles(96, 96, tile_px=48, overlap_px=8, multiple_px=8)
    assert TiledEngine(Blur(), plan).name.endswith(f"{plan.count} tiles")
