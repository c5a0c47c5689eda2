from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import OptionError, Session
from runtime.engines import Request, Result
from runtime.samplers import SamplerConfig, compile_table
from runtime.turns import TURNS, answer_turned, turned, turned_back

Image = NDArray[np.uint8]

PICTURE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.fixture(scope="module")
def crop(photograph: Image) -> Image:
    return photograph[40:104, 180:268]


@pytest.mark.parametrize("turn", range(TURNS))
def test_every_turn_can_be_undone(turn: int) -> None:
    assert np.array_equal(turned_back(turned(PICTURE, turn), turn), PICTURE)


def test_no_two_turns_are_the_same() -> None:
    square = np.arange(4, dtype=np.uint8).reshape(2, 2, 1).repeat(3, axis=2)
    assert len({turned(square, turn).tobytes() for turn in range(TURNS)}) == TURNS


def test_the_first_turn_leaves_the_picture_as_it_is() -> None:
    assert np.array_equal(turned(PICTURE, 0), PICTURE)


def test_a_self_ensemble_is_the_mean_of_what_each_turn_gives(session: Session, crop: Image) -> None:
    wanted = np.mean(
        [
            turned_back(
                session.deblur(np.ascontiguousarray(turned(crop, k)), steps=2, samples=1), k
            )
            for k in range(3)
        ],
        axis=0,
    )
    # Without reflection at its edges: the sides are multiples of what the networks take.
    found = session.deblur(crop, steps=2, samples=3, self_ensemble=True)
    assert np.array_equal(found, np.rint(wanted).astype(np.uint8))


@pytest.mark.parametrize("samples", [2, 9])
def test_a_picture_of_any_size_comes_back_as_it_was(
    session: Session, photograph: Image, samples: int
) -> None:
    image = photograph[:17, :31]
    result = session.deblur(image, steps=1, samples=samples, self_ensemble=True)
    assert (result.shape, result.dtype) == (image.shape, np.uint8)


def test_one_sample_is_not_turned(session: Session, crop: Image) -> None:
    one = {"steps": 2, "samples": 1}
    assert np.array_equal(
        session.deblur(crop, **one, self_ensemble=True), session.deblur(crop, **one)
    )


def test_the_predictor_alone_is_turned_too(session: Session, crop: Image) -> None:
    both = [
        turned_back(session.deblur(np.ascontiguousarray(turned(crop, k)), steps=0), k)
        for k in range(2)
    ]
    found = session.deblur(crop, steps=0, samples=2, self_ensemble=True)
    assert np.array_equal(found, np.rint(np.mean(both, axis=0)).astype(np.uint8))


def test_samples_and_deviation_are_those_that_are_averaged(session: Session, crop: Image) -> None:
    picture, std, samples = session.deblur(
        crop, steps=2, samples=10, self_ensemble=True, return_std=True, return_samples=True
    )
    assert samples.shape == (10, *crop.shape)
    # Pictures are averaged as grey levels, of each turn the mean of its samples.
    assert np.abs(samples.mean(axis=0) - picture).max() <= 1.0
    assert np.abs(samples.astype(np.float64).std(axis=0) - std).mean() < 0.1


def test_a_batch_is_turned_picture_by_picture(session: Session, crop: Image) -> None:
    options = {"steps": 1, "samples": 2, "self_ensemble": True}
    batch = np.stack([crop, crop[::-1]])
    alone = [session.deblur(picture, **options) for picture in batch]  # type: ignore[call-overload]
    assert np.array_equal(session.deblur(batch, **options), np.stack(alone))  # type: ignore[call-overload]


def test_timings_add_up_all_turns(session: Session, crop: Image) -> None:
    session.deblur(crop, steps=1, samples=8, self_ensemble=True)
    timings = session.timings
    assert timings["predictor"] + timings["steps"] < timings["total"]


def test_only_the_preset_distortion_turns_by_itself(session: Session, crop: Image) -> None:
    presets = session.bundle.presets
    assert {name for name, preset in presets.items() if preset.self_ensemble} == {"distortion"}


def test_a_preset_that_turns_can_be_kept_from_it(session: Session, crop: Image) -> None:
    options = {"steps": 1, "samples": 2, "preset": "distortion"}
    assert not np.array_equal(
        session.deblur(crop, **options),  # type: ignore[call-overload]
        session.deblur(crop, **options, self_ensemble=False),  # type: ignore[call-overload]
    )


@pytest.mark.parametrize("want_std", [False, True])
def test_what_is_held_while_the_engine_runs_is_told_to_it(want_std: bool) -> None:
    images = np.zeros((1, 512, 512, 3), np.uint8)
    table = compile_table(SamplerConfig(steps=1), "x0")
    untold = []

    def answer(request: Request) -> Result:
        assert isinstance(request.images, np.ndarray)
        untold.append(tracemalloc.get_traced_memory()[0] - before - request.held_bytes)
        std = np.zeros(request.images.shape, np.float32) if want_std else None
        return Result(request.images.copy(), std, None, {})

    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        answer_turned(Request(images, table, samples=9, seed=0, want_std=want_std), answer)
    finally:
        tracemalloc.stop()
    # The first turn is the picture itself, not a copy.
    assert np.abs(untold[1:]).max() < 64 * 1024


def test_turns_want_more_memory_and_say_how_much(small_bundle: Path, photograph: Image) -> None:
    def wanted_mib(**options: object) -> int:
        session = Session(small_bundle, engine="onnx-cpu", memory_mib=1)
        with pytest.raises(OptionError) as refused:
            session.deblur(photograph, samples=2, **options)  # type: ignore[call-overload]
        return int(re.search(r"at least (\d+) MiB", str(refused.value))[1])  # type: ignore[index]

    turned_mib = wanted_mib(self_ensemble=True)
    assert turned_mib - wanted_mib() == pytest.approx(15 * photograph[..., 0].size / 2**20, abs=2)


def test_something_else_than_yes_and_no_is_refused(session: Session, crop: Image) -> None:
    with pytest.raises(OptionError, match="got self_ensemble 'yes'; wanted is True, False or None"):
        session.deblur(crop, self_ensemble="yes")  # type: ignore[call-overload]
