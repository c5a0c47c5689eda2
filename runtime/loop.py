"""The one loop: predictor once, then a sampler table, row by row, for each sample."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.buffers import Buffers
from runtime.engines import (
    Clock,
    Engine,
    Noise,
    Request,
    Result,
    SamplingEngine,
    out_of_memory,
)
from runtime.errors import DvsrError, EngineError
from runtime.images import pictures_from_model, pictures_to_model
from runtime.noise_fields import Key, NoiseFields
from runtime.samplers import Table

Floats = NDArray[np.float32]
Images = NDArray[np.uint8]


class Step(Protocol):
    """The denoiser step graph: (z, y, noise, previous, row) to (z, residual)."""

    def __call__(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]: ...


def _unclocked(_: str) -> nullcontext[None]:
    return nullcontext()


def sample_residual(
    table: Table,
    y: Floats,
    step: Step,
    noise: Noise,
    clock: Clock = _unclocked,
    buffers: Buffers | None = None,
) -> Floats:
    """One sampled residual z_0, float32 (N, 3, H, W), for the blurred ``y`` of that shape.

    ``noise(k)`` is the standard normal field of step k: 0 for the start, 1, 2, ... for the rows;
    each is used up before the next is asked for.
    """
    buffers = Buffers() if buffers is None else buffers
    z = np.multiply(noise(0), np.float32(table.start), out=buffers.take("z", y.shape))
    silent = previous = buffers.zeros(y.shape)
    adds_noise = table.column("noise") != 0.0
    for index, row in enumerate(table.rows.astype(np.float32)):
        fresh = noise(index + 1) if adds_noise[index] else silent
        with clock(f"step {index + 1}"):
            z, previous = step(z, y, fresh, previous, row)
    return z


class Stopwatch:
    """Milliseconds by stage, added up."""

    def __init__(self) -> None:
        self.stages_ms: dict[str, float] = {}

    @contextmanager
    def clock(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to ``stage``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = 1000.0 * (time.perf_counter() - began)
            self.stages_ms[stage] = self.stages_ms.get(stage, 0.0) + spent


def run_on_host(
    engine: Engine,
    request: Request,
    fields: NoiseFields,
    buffers: Buffers,
    *,
    samples_at_once: int = 1,
) -> Result:
    """Answer ``request`` with an engine that only runs the graphs.

    ``samples_at_once`` of them go through the engine as one batch. Raises EngineError where the
    engine or the memory fails, and where the network's result is not finite.
    """
    watch = Stopwatch()
    images = request.images
    assert isinstance(images, np.ndarray), "what lies on a GPU is not for the loop on the host"
    count, height, width, _ = images.shape
    shape = (count, 3, height, width)

    @contextmanager
    def clock(stage: str) -> Iterator[None]:
        with watch.clock(stage), _explained(engine, stage):
            yield

    with _explained(engine, "the loop"):
        noise = _GroupNoise(request, fields, buffers, watch, samples_at_once)
        noise.begin()
        with watch.clock("upload"):
            y = pictures_to_model(images, out=buffers.take("y", shape))
        with clock("predictor"):
            guess = engine.predict(y)
        finish = _Finish(request, guess, buffers, watch)
        if request.table.steps > 0:
            for group in noise.groups:
                batch = _repeated(y, len(group), buffers)
                if isinstance(engine, SamplingEngine):
                    z = engine.sample(request.table, batch, noise.of(group), clock)
                else:
                    z = sample_residual(
                        request.table, batch, engine.step, noise.of(group), clock, buffers
                    )
                for residual in z.reshape(len(group), *shape):
                    finish.add(residual)
        return finish.result()


@contextmanager
def _explained(engine: Engine, stage: str) -> Iterator[None]:
    """What an engine raises beside our own errors becomes an EngineError that says where."""
    try:
        yield
    except DvsrError:
        raise
    except MemoryError as error:
        raise out_of_memory(f"{engine.name}, {stage}") from error
    except Exception as error:  # an engine may be anybody's
        raise EngineError(
            f"{engine.name} failed in {stage}: {error or type(error).__name__}; "
            "the session can be used on; name another engine if this recurs"
        ) from error


def _repeated(y: Floats, times: int, buffers: Buffers) -> Floats:
    """``y`` (N, 3, H, W) for several samples: (times * N, 3, H, W)."""
    if times == 1:
        return y
    batch = buffers.take("y batch", (times * len(y), *y.shape[1:]))
    batch.reshape(times, *y.shape)[:] = y
    return batch


class _GroupNoise:
    """The noise of groups of samples; while the engine works on one field the next is drawn."""

    def __init__(
        self,
        request: Request,
        fields: NoiseFields,
        buffers: Buffers,
        watch: Stopwatch,
        samples_at_once: int,
    ) -> None:
        self._request, self._fields, self._buffers = request, fields, buffers
        self._watch = watch
        samples = range(request.samples)
        self.groups = [
            samples[first : first + samples_at_once]
            for first in range(0, len(samples), samples_at_once)
        ]
        steps = [0, *(np.flatnonzero(request.table.column("noise")) + 1).tolist()]
        self._order = [(group, step) for group in self.groups for step in steps]
        self._next = dict(itertools.pairwise(self._order))

    def begin(self) -> None:
        """Have the first field drawn while the predictor works, where any will be needed."""
        if self._request.table.steps > 0:
            self._draw_ahead(self._order[0])

    def of(self, group: range) -> Noise:
        """``noise(k)`` for the samples of ``group``, float32 (samples * N, 3, H, W)."""

        def noise(step: int) -> Floats:
            with self._watch.clock("noise"):
                drawn = [self._fields.field(key) for key in self._keys(group, step)]
                self._draw_ahead(self._next.get((group, step)))
                return self._batched(drawn)

        return noise

    def _draw_ahead(self, turn: tuple[range, int] | None) -> None:
        for key in () if turn is None else self._keys(*turn):
            self._fields.ahead(key)

    def _keys(self, group: range, step: int) -> list[Key]:
        _, height, width, _ = self._request.images.shape
        return [Key(self._request.seed, sample, step, height, width) for sample in group]

    def _batched(self, drawn: list[Floats]) -> Floats:
        count = len(self._request.images)
        if len(drawn) * count == 1:
            return drawn[0][None]
        batch = self._buffers.take("noise", (len(drawn) * count, *drawn[0].shape))
        for pictures, field in zip(batch.reshape(len(drawn), count, -1), drawn, strict=True):
            pictures[:] = field.ravel()
        return batch


class _Finish:
    """From residuals to pictures: mean and population variance in one pass (Welford 1962)."""

    def __init__(self, request: Request, guess: Floats, buffers: Buffers, watch: Stopwatch) -> None:
        self._request, self._guess, self._buffers = request, guess, buffers
        self._watch = watch
        self._count = 0
        self._mean = self._spread = guess
        self._samples: list[Images] = []

    def add(self, residual: Floats) -> None:
        """One more sample of the residual of every picture, float32 (N, 3, H, W)."""
        with self._watch.clock("download"):
            self._count += 1
            if self._request.want_samples:
                self._samples.append(self._pictures(residual))
            if self._count == 1:
                self._mean = residual
            else:
                self._weigh(residual)

    def _weigh(self, residual: Floats) -> None:
        shape = residual.shape
        if self._count == 2:
            first, self._mean = self._mean, self._buffers.take("mean", shape)
            self._mean[:] = first
            if self._request.want_std:
                self._spread = self._buffers.take("spread", shape)
                self._spread.fill(0.0)
        # The array of the start serves once more: the first step was the last to read it.
        difference = np.subtract(residual, self._mean, out=self._buffers.take("z", shape))
        share = np.divide(difference, np.float32(self._count), out=self._scratch(shape))
        self._mean += share
        if self._request.want_std:
            difference *= np.subtract(residual, self._mean, out=share)
            self._spread += difference

    def result(self) -> Result:
        """All that the request wanted."""
        with self._watch.clock("download"):
            images = self._pictures(self._mean if self._count else None)
            stages = self._watch.stages_ms
            std = self._deviation() if self._request.want_std else None
            samples = self._samples or [images]
            stacked = np.stack(samples, axis=1) if self._request.want_samples else None
        return Result(images, std, stacked, stages)

    def _pictures(self, residual: Floats | None) -> Images:
        scratch = self._scratch(self._guess.shape)
        x = self._guess if residual is None else np.add(self._guess, residual, out=scratch)
        _check_finite(x)
        return pictures_from_model(x, scratch=scratch)

    def _deviation(self) -> Floats:
        count, _, height, width = self._guess.shape
        std = np.zeros((count, height, width, 3), np.float32)
        if self._count > 1:
            scratch = np.divide(
                self._spread, np.float32(self._count), out=self._scratch(self._guess.shape)
            )
            # Half the model's range is 127.5 grey levels.
            np.multiply(
                np.sqrt(scratch, out=scratch).transpose(0, 2, 3, 1), np.float32(127.5), out=std
            )
        return std

    def _scratch(self, shape: tuple[int, ...]) -> Floats:
        return self._buffers.take("scratch", shape)


def _check_finite(x: Floats) -> None:
    # A sum keeps every NaN and infinity, and unlike isfinite() it needs no array.
    with np.errstate(invalid="ignore", over="ignore"):
        total = float(np.add.reduce(x, axis=None))
    if not math.isfinite(total):
        raise EngineError(
            "the network returned numbers that are not finite; its weights are damaged or its "
            "precision is too low: run python -m export.check on the bundle, export it again, "
            "in float32 if it was float16, or name another engine"
        )


def merge_stages(parts: list[dict[str, float]]) -> dict[str, float]:
    """Milliseconds by stage, summed over ``parts``, with "steps" as the sum of all steps."""
    merged: dict[str, float] = {}
    for part in parts:
        for stage, spent in part.items():
            merged[stage] = merged.get(stage, 0.0) + spent
    if "steps" not in merged:
        merged["steps"] = sum(ms for stage, ms in merged.items() if stage.startswith("step "))
    return merged
