from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import Session
from runtime.engines.fake import FakeEngine

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Counting(FakeEngine):
    """The fake engine, with the batch sizes that its step was given."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        self.batches.append(len(z))
        return super().step(z, y, noise, previous, row)


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(engine="fake")


@pytest.fixture(scope="module")
def batch(photograph: Image) -> Image:
    return np.stack([photograph[:40, :56], photograph[100:140, 100:156]])


def test_a_picture_of_a_batch_is_what_it_would_be_alone(session: Session, batch: Image) -> None:
    together = session.deblur(batch, steps=3, samples=2, return_std=True, return_samples=True)
    for index, image in enumerate(batch):
        alone = session.deblur(image, steps=3, samples=2, return_std=True, return_samples=True)
        assert np.array_equal(together[0][index], alone[0])
        assert together[1][index] == pytest.approx(alone[1], abs=1e-3)
        assert np.array_equal(together[2][index], alone[2])


def test_samples_come_as_pictures_in_order(session: Session, batch: Image) -> None:
    picture, spread, samples = session.deblur(
        batch[0], steps=3, samples=4, return_std=True, return_samples=True
    )
    assert (samples.shape, samples.dtype) == ((4, *picture.shape), np.uint8)
    # Both roundings together leave one grey level at most where nothing is clipped.
    inside = ((samples > 0) & (samples < 255)).all(axis=0)
    assert np.abs(samples.mean(axis=0) - picture)[inside].max() <= 1.0
    assert np.abs(samples.std(axis=0) - spread)[inside].max() <= 1.0


def test_without_steps_the_one_sample_is_the_picture(session: Session, batch: Image) -> None:
    picture, samples = session.deblur(batch, steps=0, samples=5, return_samples=True)
    assert np.array_equal(samples, picture[:, None])


def test_samples_run_as_one_batch_where_memory_allows(
    open_with: Callable[..., Session], batch: Image
) -> None:
    engine = Counting()
    open_with(engine).deblur(batch, steps=2, samples=3)
    assert engine.batches == [6, 6]


def test_samples_run_in_groups_where_memory_is_short(
    open_with: Callable[..., Session], photograph: Image
) -> None:
    engine = Counting()
    session = open_with(engine, bundle="tiny", memory_mib=100)
    session.deblur(photograph[:256, :256], steps=1, samples=3, preset="realtime")
    assert engine.batches == [2, 1]


def test_pictures_run_one_by_one_where_memory_is_short(
    open_with: Callable[..., Session], photograph: Image
) -> None:
    engine = Counting()
    images = np.stack([photograph[:256, :256], photograph[256:, 256:]])
    tight = open_with(engine, bundle="tiny", memory_mib=64)
    assert np.array_equal(
        tight.deblur(images, steps=2, samples=1),
        Session("tiny", engine="fake").deblur(images, steps=2, samples=1),
    )
    assert set(engine.batches) == {1}


def test_samples_as_one_batch_are_those_taken_one_by_one(photograph: Image) -> None:
    image = photograph[60:108, 200:248]
    options = {"steps": 2, "samples": 3, "return_samples": True}
    whole = Session("tiny", engine="onnx-cpu")
    _, together = whole.deblur(image, **options)  # type: ignore[call-overload]
    tight = Session("tiny", engine="onnx-cpu", memory_mib=4)
    _, apart = tight.deblur(image, **options)  # type: ignore[call-overload]
    assert np.abs(together.astype(int) - apart).max() <= 1


def test_one_sample_of_many_is_the_same_as_the_first_of_few(session: Session, batch: Image) -> None:
    _, few = session.deblur(batch[0], steps=2, samples=1, return_samples=True)
    _, many = session.deblur(batch[0], steps=2, samples=4, return_samples=True)
    assert np.array_equal(few[0], many[0])
