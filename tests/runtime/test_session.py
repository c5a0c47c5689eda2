from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import runtime
from runtime import EngineError, OptionError, Session
from runtime.engines.onnx import OnnxEngine
from runtime.images import from_model, to_model

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def crop(photograph: Image) -> Image:
    return photograph[40:104, 180:252]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 3), (17, 31), (64, 72)])
def test_any_size_comes_back_as_it_was(
    session: Session, photograph: Image, size: tuple[int, int]
) -> None:
    image = photograph[: size[0], : size[1]]
    result = session.deblur(image, steps=5, samples=1)
    assert (result.shape, result.dtype) == (image.shape, np.uint8)


def test_the_same_seed_gives_the_same_bytes(session: Session, crop: Image) -> None:
    first, second = (session.deblur(crop, seed=3) for _ in range(2))
    assert np.array_equal(first, second)


def test_another_seed_gives_another_picture(session: Session, crop: Image) -> None:
    assert not np.array_equal(session.deblur(crop, seed=3), session.deblur(crop, seed=4))


def test_zero_steps_give_the_predictors_picture(session: Session, crop: Image) -> None:
    engine = OnnxEngine(session.bundle)
    whole = crop[:64, :64]
    assert np.array_equal(
        session.deblur(whole, steps=0), from_model(engine.predict(to_model(whole)))
    )


def test_zero_steps_do_not_depend_on_the_seed(session: Session, crop: Image) -> None:
    assert np.array_equal(
        session.deblur(crop, steps=0, seed=1), session.deblur(crop, steps=0, seed=2)
    )


def test_the_callers_picture_is_left_alone(session: Session, crop: Image) -> None:
    image = crop.copy()
    session.deblur(image, steps=0)
    assert np.array_equal(image, crop)


def test_a_read_only_and_non_contiguous_picture_works(session: Session, crop: Image) -> None:
    view = crop[:, ::-1]
    view.flags.writeable = False
    mirrored = session.deblur(np.ascontiguousarray(view), steps=0)
    assert np.array_equal(session.deblur(view, steps=0), mirrored)


def test_the_standard_deviation_is_that_of_the_samples(session: Session, crop: Image) -> None:
    _, spread = session.deblur(crop, samples=4, return_std=True)
    assert (spread.shape, spread.dtype) == (crop.shape, np.float32)
    assert spread.min() >= 0.0
    assert spread.max() > 0.0


def test_one_sample_has_no_spread(session: Session, crop: Image) -> None:
    _, spread = session.deblur(crop, samples=1, return_std=True)
    assert spread.max() == 0.0


def test_a_preset_can_be_named(session: Session, crop: Image) -> None:
    fast = session.deblur(crop, preset="realtime")
    assert not np.array_equal(fast, session.deblur(crop, preset="balanced"))


@pytest.mark.parametrize(
    "options",
    [
        {"steps": -1},
        {"steps": 501},
        {"steps": 2.5},
        {"steps": 1, "preset": "paper-sa"},
        {"samples": 0},
        {"samples": 1.5},
        {"seed": -1},
        {"preset": "none"},
    ],
)
def test_an_option_out_of_range_is_refused(
    session: Session, crop: Image, options: dict[str, object]
) -> None:
    with pytest.raises(OptionError):
        session.deblur(crop, **options)  # type: ignore[call-overload]


def test_several_threads_get_what_one_gets(session: Session, crop: Image) -> None:
    seeds = [0, 1, 2, 3]
    alone = [session.deblur(crop, seed=seed) for seed in seeds]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: session.deblur(crop, seed=seed), seeds))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_the_stages_add_up_to_less_than_the_total(session: Session, crop: Image) -> None:
    session.deblur(crop)
    timings = session.timings
    apart = ("upload", "predictor", "noise", "steps", "download")
    assert 0.0 < sum(timings[stage] for stage in apart) <= timings["total"]
    steps = [timings[f"step {step}"] for step in range(1, 11)]
    assert timings["steps"] == pytest.approx(sum(steps))


def test_a_small_memory_cuts_the_picture_without_a_seam(
    small_bundle: Path, session: Session, photograph: Image
) -> None:
    image = photograph[:256, :256]
    bytes_per_px = session.bundle.manifest.tiling.working_bytes_per_px
    assert bytes_per_px is not None
    # Enough for the picture's own arrays and tiles of three quarters of its area.
    needed = 256 * 256 * (12 * 3 * 4 + bytes_per_px * 3 // 4)
    tight = Session(small_bundle, engine="onnx-cpu", memory_mib=needed // 2**20 + 1)
    whole = session.deblur(image, samples=1).astype(int)
    apart = np.abs(tight.deblur(image, samples=1).astype(int) - whole)
    # Random weights reach far; trained ones hardly beyond the blur.
    assert np.abs(apart).mean() < 0.5


def test_a_memory_that_cannot_hold_the_picture_is_refused(
    small_bundle: Path, photograph: Image
) -> None:
    with pytest.raises(OptionError, match="MiB"):
        Session(small_bundle, engine="onnx-cpu", memory_mib=1).deblur(photograph)


def test_the_engine_is_named(session: Session) -> None:
    assert session.engine.startswith("onnx-cpu (ONNX Runtime ")


def test_a_closed_session_says_so(small_bundle: Path, crop: Image) -> None:
    with Session(small_bundle, engine="onnx-cpu") as session:
        pass
    with pytest.raises(EngineError, match="closed"):
        session.deblur(crop)


def test_an_unknown_engine_is_refused(small_bundle: Path) -> None:
    with pytest.raises(EngineError, match="onnx-cpu"):
        Session(small_bundle, engine="abacus")


def test_prewarming_a_seed_leaves_no_noise_to_be_drawn(
    small_bundle: Path, session: Session, crop: Image
) -> None:
    with Session(small_bundle, engine="onnx-cpu") as warmed:
        warmed.prewarm([crop.shape[:2]], seed=5, samples=1)
        fields = warmed._placement._fields
        kept = dict(fields._kept)
        assert np.array_equal(
            warmed.deblur(crop, seed=5, samples=1), session.deblur(crop, seed=5, samples=1)
        )
        assert kept
        assert dict(fields._kept) == kept


def test_the_one_call_form_is_the_session(
    session: Session, small_bundle: Path, crop: Image
) -> None:
    once = runtime.deblur(crop, bundle=small_bundle, engine="onnx-cpu")
    assert np.array_equal(once, session.deblur(crop))
