"""Engines that run the whole loop: what they are given, and what happens where it does not fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import EngineError, Session
from runtime.buffers import Buffers
from runtime.engines import Request, Result
from runtime.engines.fake import FakeEngine
from runtime.loop import run_on_host
from runtime.noise_fields import NoiseFields

Image = NDArray[np.uint8]


class WholeLoop(FakeEngine):
    """The fake engine with a loop of its own, for up to ``most_px`` a side and so many pictures."""

    def __init__(self, most_px: int, most_images: int = 99) -> None:
        self.most_px, self.most_images = most_px, most_images
        self.requests: list[Request] = []

    def fits(self, request: Request) -> bool:
        count, height, width, _ = request.images.shape
        return max(height, width) <= self.most_px and count <= self.most_images

    def run(self, request: Request) -> Result:
        self.requests.append(request)
        return run_on_host(self, request, NoiseFields(0), Buffers())


@pytest.fixture(scope="module")
def image(photograph: Image) -> Image:
    return photograph[:64, :96]


def test_a_request_that_fits_is_handed_over_whole(
    open_with: Callable[..., Session], image: Image
) -> None:
    engine = WholeLoop(96)
    result = open_with(engine).deblur(image[:50], steps=3, samples=2, seed=5, return_std=True)
    (request,) = engine.requests
    assert request.images.shape == (1, 64, 96, 3)
    assert (request.samples, request.seed, request.table.steps) == (2, 5, 3)
    assert (request.want_std, request.want_samples) == (True, False)
    host = Session(engine="fake").deblur(image[:50], steps=3, samples=2, seed=5, return_std=True)
    assert np.array_equal(result[0], host[0])
    assert result[1] == pytest.approx(host[1], abs=1e-3)


def test_a_turned_picture_is_handed_over_contiguous(
    open_with: Callable[..., Session], image: Image
) -> None:
    engine = WholeLoop(96)
    open_with(engine).deblur(image[..., ::-1], steps=1, preset="realtime", bgr=True)
    assert engine.requests[0].images.flags.c_contiguous


def test_a_self_ensemble_is_handed_over_turn_by_turn(
    open_with: Callable[..., Session], image: Image
) -> None:
    engine = WholeLoop(96)
    open_with(engine).deblur(image, steps=1, samples=10, self_ensemble=True)
    assert [request.samples for request in engine.requests] == [2, 2, 1, 1, 1, 1, 1, 1]
    assert [request.images.shape[1:3] for request in engine.requests] == 4 * [(64, 96), (96, 64)]
    assert all(request.images.flags.c_contiguous for request in engine.requests)


def test_a_batch_that_does_not_fit_is_handed_over_one_by_one(
    open_with: Callable[..., Session], image: Image
) -> None:
    engine = WholeLoop(96, most_images=1)
    batch = np.stack([image, image[::-1], image[:, ::-1]])
    result = open_with(engine).deblur(batch, steps=2)
    assert [len(request.images) for request in engine.requests] == [1, 1, 1]
    assert np.array_equal(result, Session(engine="fake").deblur(batch, steps=2))


def test_a_picture_beyond_the_profile_is_cut_into_tiles_that_fit(
    open_with: Callable[..., Session], image: Image
) -> None:
    engine = WholeLoop(64)
    result = open_with(engine).deblur(image, steps=2, samples=1)
    assert engine.requests == []
    whole = Session(engine="fake").deblur(image, steps=2, samples=1)
    assert np.abs(result.astype(int) - whole).max() <= 1


def test_a_picture_that_no_tile_makes_fit_is_refused_and_the_next_one_works(
    open_with: Callable[..., Session], image: Image
) -> None:
    engine = WholeLoop(0)
    session = open_with(engine)
    with pytest.raises(EngineError, match="takes neither 96x64 px nor any tile"):
        session.deblur(image)
    engine.most_px = 96
    assert session.deblur(image).shape == image.shape
