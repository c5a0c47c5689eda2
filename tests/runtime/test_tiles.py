from __future__ import annotations

from contextlib import suppress
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.buffers import Buffers
from runtime.bundle import open_bundle
from runtime.engines import Engine, Request, open_engine
from runtime.errors import OptionError
from runtime.loop import run_on_host
from runtime.noise_fields import NoiseFields
from runtime.samplers import Method, Prediction, SamplerConfig, Table, compile_table
from runtime.schedules import abar_of
from runtime.tiles import (
    Portion,
    TiledEngine,
    TilePlan,
    kept_bytes,
    plan_tiles,
    portion_that_fits,
    tile_side_px,
    tile_that_fits,
    tiled,
)


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


@pytest.mark.parametrize("multiple_px", [8, 16, 32])
def test_every_tile_that_a_budget_allows_can_be_laid_over_the_picture(multiple_px: int) -> None:
    planned = set()
    for budget in range(2**20, 8 * 2**20, 2**16):
        with suppress(OptionError):  # too small even for the picture's own arrays
            side = tile_side_px(budget, 96, 128, bytes_per_px=400, multiple_px=multiple_px)
            planned.add(side)
    for side in planned - {None}:
        plan_tiles(96, 128, tile_px=side, overlap_px=side // 4, multiple_px=multiple_px)
    assert min(planned - {None}) == 2 * multiple_px


# The last one wants 8 MiB and not a byte more or less.
@pytest.mark.parametrize(("held", "wanted_mib"), [(0, 4), (7 * 2**20, 12), (3932160, 8)])
def test_the_memory_said_to_be_wanted_is_enough_and_less_is_not(held: int, wanted_mib: int) -> None:
    def side(mib: int) -> int | None:
        budget = mib * 2**20
        left = budget - kept_bytes(budget)
        return tile_side_px(left, 96, 128, bytes_per_px=400, multiple_px=32, held_bytes=held)

    with pytest.raises(OptionError, match=f"at least {wanted_mib} MiB"):
        side(wanted_mib - 1)
    assert side(wanted_mib) == 64


class Windowed(Blur):
    """A network with the same window, of any parametrisation, with the update of a real one."""

    def __init__(self, prediction: Prediction = "x0") -> None:
        self._prediction = prediction

    def step(
        self,
        z: NDArray[np.float32],
        y: NDArray[np.float32],
        noise: NDArray[np.float32],
        previous: NDArray[np.float32],
        row: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        level, from_z, from_output, keep, take, take_previous, fresh = row
        guess = np.float32(0.2) * (self.predict(z) + self.predict(y))
        abar = abar_of(np.float64(level))
        a, s = (np.float32(np.sqrt(part)) for part in (abar, 1.0 - abar))
        eps = (z - a * guess) / s
        outputs = {
            "x0": guess,
            "eps": eps,
            "v": a * eps - s * guess,
            "edm": (guess - from_z * z) / from_output,
        }
        residual = from_z * z + from_output * outputs[self._prediction]
        return keep * z + take * residual + take_previous * previous + fresh * noise, residual


def share_within_one_level(
    engine: Engine, photograph: NDArray[np.uint8], table: Table, samples: int
) -> float:
    """Of the pixels' values, whole against tiles that overlap by the window."""
    images = np.stack([photograph[:64, 100:196], photograph[200:264, :96]])
    in_tiles = tiled(engine, 48, 64, 96, receptive_radius_px=2, multiple_px=8)
    request = Request(images, table, samples=samples, seed=1)
    whole, cut = (
        run_on_host(one, request, NoiseFields(2**24), Buffers()).images
        for one in (engine, in_tiles)
    )
    assert whole is not None
    assert cut is not None
    return float((np.abs(whole.astype(int) - cut) <= 1).mean())


@pytest.mark.parametrize("name", sorted(open_bundle().presets))
def test_every_preset_in_tiles_is_within_a_grey_level_where_the_overlap_covers_the_window(
    photograph: NDArray[np.uint8], name: str
) -> None:
    preset = open_bundle().preset(name)
    samples = min(preset.samples, 2)
    assert share_within_one_level(Windowed(), photograph, preset.table, samples) > 0.999


@pytest.mark.parametrize("prediction", get_args(Prediction))
@pytest.mark.parametrize("method", ["ancestral", "ddim", "dpm++2m"])
@pytest.mark.parametrize("steps", [0, 1, 2, 20])
def test_every_sampler_in_tiles_is_within_a_grey_level_where_the_overlap_covers_the_window(
    photograph: NDArray[np.uint8], prediction: Prediction, method: Method, steps: int
) -> None:
    config = SamplerConfig(method=method, schedule="log-snr", steps=steps, eta=0.5, start="guess")
    table = compile_table(config, prediction)
    assert share_within_one_level(Windowed(prediction), photograph, table, 1) > 0.999


@pytest.mark.parametrize("preset", ["balanced", "paper-sa", "realtime"])
def test_a_flat_gradient_shows_no_seam(preset: str) -> None:
    # The trained network, on tiles far smaller than its window: the worst there is.
    bundle = open_bundle()
    ramp = np.linspace(40.0, 210.0, 192).astype(np.uint8)
    image = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (64, 192, 3)))
    engine = open_engine("onnx-cpu", bundle)
    in_tiles = tiled(engine, 64, 64, 192, receptive_radius_px=588, multiple_px=16)
    table, samples = bundle.preset(preset).table, bundle.preset(preset).samples
    request, fields = Request(image[None], table, samples, 0), NoiseFields(2**24)
    whole, cut = (
        run_on_host(one, request, fields, Buffers()).images[0] for one in (engine, in_tiles)
    )
    steps = [
        np.abs(np.diff(picture.astype(int), axis=1)).mean(axis=(0, 2)) for picture in (whole, cut)
    ]
    # No column of the tiled picture steps by a grey level more than the whole picture does.
    assert (steps[1] - steps[0]).max() < 1.0


def test_a_whole_picture_is_taken_where_the_engine_takes_it() -> None:
    assert tile_that_fits(lambda *_: True, 64, 96, multiple_px=8) == Portion(1, 1)


def test_a_tile_is_halved_until_the_engine_takes_it() -> None:
    portion = tile_that_fits(lambda h, w: max(h, w) <= 40, 64, 96, multiple_px=8)
    assert portion == Portion(1, 1, 24)


def test_a_budget_for_several_pictures_takes_one_sample_of_each() -> None:
    budget = 3 * 64 * 64 * (144 + 1000)
    options = {"bytes_per_px": 1000, "multiple_px": 8}
    assert portion_that_fits(budget, 2, 4, 64, 64, **options) == Portion(2, 1)
    assert portion_that_fits(budget, 1, 4, 64, 64, **options) == Portion(1, 3)
    assert portion_that_fits(budget, 5, 4, 64, 64, **options) == Portion(3, 1)


@pytest.mark.parametrize("budget", [2**18, 2**20, 2**24])
def test_what_is_held_already_is_no_part_of_the_budget(budget: int) -> None:
    options = {"bytes_per_px": 100, "multiple_px": 8}
    free = portion_that_fits(budget, 2, 4, 40, 40, **options)
    assert portion_that_fits(budget + 999, 2, 4, 40, 40, **options, held_bytes=999) == free


def test_a_plan_of_several_tiles_is_named() -> None:
    plan = plan_tiles(96, 96, tile_px=48, overlap_px=8, multiple_px=8)
    assert TiledEngine(Blur(), plan).name.endswith(f"{plan.count} tiles")
