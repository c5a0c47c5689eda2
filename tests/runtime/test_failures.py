"""After any failure the session goes on with the next picture."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import EngineError, Session
from runtime.engines import failure
from runtime.engines.fake import FakeEngine

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Faulty(FakeEngine):
    """The fake engine; ``fault`` is called with the number of each step since it was set."""

    def __init__(self) -> None:
        self.fault: Callable[[int], None] | None = None
        self._steps = 0

    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        self._steps += 1
        z_next, residual = super().step(z, y, noise, previous, row)
        if self.fault is not None:
            self.fault(self._steps)
        return z_next, residual


class Broken(FakeEngine):
    """A network whose weights are not numbers, until it is mended."""

    share = np.float32(np.nan)

    def predict(self, y: Floats) -> Floats:
        return y * self.share


@pytest.fixture(scope="module")
def image(photograph: Image) -> Image:
    return photograph[:32, :48]


@pytest.fixture(scope="module")
def expected(image: Image) -> Image:
    return Session(engine="fake").deblur(image, steps=3)


def raising(error: Exception) -> Callable[[int], None]:
    def fault(step: int) -> None:
        if step == 2:
            raise error

    return fault


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("device lost"), r"fake .* failed in step 2: device lost; the session"),
        (MemoryError(), r"out of memory .*step 2.*memory_mib"),
        (EngineError("beyond the profile; build another"), "beyond the profile; build another"),
    ],
)
def test_an_engine_that_fails_mid_loop_is_named_and_used_again(
    open_with: Callable[..., Session],
    image: Image,
    expected: Image,
    error: Exception,
    told: str,
) -> None:
    engine = Faulty()
    session = open_with(engine)
    engine.fault = raising(error)
    with pytest.raises(EngineError, match=told):
        session.deblur(image, steps=3)
    engine.fault = None
    assert np.array_equal(session.deblur(image, steps=3), expected)


def test_numbers_that_are_not_finite_are_refused_with_the_remedy(
    open_with: Callable[..., Session], image: Image, expected: Image
) -> None:
    engine = Broken()
    session = open_with(engine)
    with pytest.raises(EngineError, match=r"not finite.*export"):
        session.deblur(image, steps=3)
    engine.share = np.float32(1.0)
    assert np.array_equal(session.deblur(image, steps=3), expected)


def test_weights_that_are_not_numbers_are_refused_and_another_session_is_not_touched(
    small_bundle: Path, tmp_path: Path, image: Image
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(small_bundle, damaged)
    put_nan_into_the_predictor(damaged)
    with Session(small_bundle, engine="onnx-cpu") as good:
        wanted = good.deblur(image, steps=2)
        with (
            Session(damaged, engine="onnx-cpu") as bad,
            pytest.raises(EngineError, match=r"not finite.*weights.*export\.check"),
        ):
            bad.deblur(image, steps=2)
        assert np.array_equal(good.deblur(image, steps=2), wanted)


def put_nan_into_the_predictor(bundle: Path) -> None:
    """One weight that is not a number, in a bundle whose checksums are right all the same."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    manifest = json.loads((bundle / "manifest.json").read_text())
    name = manifest["predictor"]["file"]
    model = onnx.load(bundle / name)
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(weights).copy()
    values.flat[0] = np.nan
    weights.raw_data = values.tobytes()
    onnx.save(model, bundle / name)
    data = (bundle / name).read_bytes()
    manifest["files"][name] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "said",
    [
        "Failed to allocate memory for requested buffer of size 12884901888",
        "CUDA failure 2: out of memory",
        "std::bad_alloc",
        "bad allocation",
    ],
)
def test_a_library_that_runs_out_of_memory_is_told_apart_from_one_that_fails(said: str) -> None:
    inputs = {"y": np.zeros((1, 3, 8, 8), np.float32)}
    told = str(failure("The library", RuntimeError(said), inputs))
    assert told.startswith("out of memory")
    assert "memory_mib" in told
    assert "(1, 3, 8, 8)" in told


def test_a_picture_that_only_one_thread_fails_on_leaves_the_others_alone(
    image: Image, expected: Image
) -> None:
    session = Session(engine="fake")

    def work(index: int) -> Image | None:
        if index % 2:
            with pytest.raises(Exception, match="uint8"):
                session.deblur(image.astype(np.float32))
            return None
        return session.deblur(image, steps=3)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(12)))
    assert all(np.array_equal(result, expected) for result in results[::2])


def test_threads_with_several_sizes_and_seeds_get_what_one_gets(photograph: Image) -> None:
    session = Session(engine="fake", memory_mib=64)
    cases = [(photograph[: 16 * rows, :48], seed) for rows in (1, 2, 5) for seed in (0, 1, 2)]
    alone = [session.deblur(image, seed=seed, steps=4, samples=3) for image, seed in cases]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(
            lambda case: session.deblur(case[0], seed=case[1], steps=4, samples=3), cases * 3
        )
        assert all(np.array_equal(a, b) for a, b in zip(alone * 3, together, strict=True))


class Closing(Faulty):
    """An engine that holds what must be given back."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_closing_a_session_closes_its_engine_once(open_with: Callable[..., Session]) -> None:
    engine = Closing()
    with open_with(engine) as session:
        assert engine.closed == 0
    session.close()
    assert engine.closed == 1


def test_an_engine_is_closed_only_after_the_call_under_way(
    open_with: Callable[..., Session], image: Image, expected: Image
) -> None:
    engine = Closing()
    session = open_with(engine)
    seen: list[int] = []

    def close_now(step: int) -> None:
        if step == 2:
            session.close()
            seen.append(engine.closed)

    engine.fault = close_now
    assert np.array_equal(session.deblur(image, steps=3), expected)
    assert seen == [0]
    assert engine.closed == 1
    with pytest.raises(EngineError, match="closed"):
        session.deblur(image)
