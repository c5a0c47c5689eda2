"""``Session`` and ``deblur``: a picture in, a sharper picture out."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle, Preset, open_bundle
from runtime.engines import Engine, open_engine
from runtime.errors import EngineError, OptionError
from runtime.images import check_image, from_model, to_model
from runtime.loop import sample_residual
from runtime.noise import check_seed, normals
from runtime.samplers import Table, compile_table, with_steps
from runtime.tiles import MIB, TiledEngine, available_bytes, plan_tiles, tile_side_px

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

MAX_SAMPLES = 1024
_OPEN_SESSIONS = 4


class Session:
    """An opened bundle on an engine, for many pictures.

    ``bundle`` is a directory, the name of a shipped bundle, or None for the default; ``engine`` is
    a name or "auto". ``memory_mib`` bounds what one call may take beyond what the process holds
    already (None: most of what the machine has free); a picture that needs more is cut into tiles
    that are blended at every step. Raises BundleError, EngineError and OptionError. ``deblur`` may
    be called from several threads.
    """

    def __init__(
        self,
        bundle: str | Path | None = None,
        *,
        engine: str = "auto",
        memory_mib: int | None = None,
    ) -> None:
        if memory_mib is not None and memory_mib < 1:
            raise OptionError(f"got memory_mib {memory_mib}; wanted is at least 1, or None")
        self._memory_mib = memory_mib
        self._bundle = open_bundle(bundle)
        self._engine: Engine | None = open_engine(engine, self._bundle)
        self._name = self._engine.name
        self._timings: dict[str, float] = {}

    @property
    def bundle(self) -> Bundle:
        """The opened bundle: manifest and presets."""
        return self._bundle

    @property
    def engine(self) -> str:
        """What runs the graphs: name, library, version, device."""
        return self._name

    @property
    def timings(self) -> dict[str, float]:
        """Milliseconds of the call that ended last, by stage: predictor, noise, steps, total."""
        return dict(self._timings)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the engine and its memory; calls after this raise EngineError."""
        self._engine = None

    @overload
    def deblur(
        self,
        image: Image,
        *,
        steps: int | None = None,
        samples: int | None = None,
        seed: int = 0,
        preset: str | None = None,
        return_std: Literal[False] = False,
    ) -> Image: ...

    @overload
    def deblur(
        self,
        image: Image,
        *,
        steps: int | None = None,
        samples: int | None = None,
        seed: int = 0,
        preset: str | None = None,
        return_std: Literal[True],
    ) -> tuple[Image, Floats]: ...

    def deblur(
        self,
        image: Image,
        *,
        steps: int | None = None,
        samples: int | None = None,
        seed: int = 0,
        preset: str | None = None,
        return_std: bool = False,
    ) -> Image | tuple[Image, Floats]:
        """Deblur uint8 RGB (H, W, 3) of any size; returns uint8 RGB (H, W, 3).

        ``preset`` names a way to sample of the bundle (None: its default); ``steps`` (0 to 500;
        0 is the predictor's picture alone) and ``samples`` (averaged) override it. The same
        ``seed`` gives the same picture. With ``return_std`` also the standard deviation of the
        samples, float32 (H, W, 3) in grey levels.

        Raises ImageError, OptionError and EngineError.
        """
        engine = self._engine
        if engine is None:
            raise EngineError("this session is closed; open another")
        image, seed = check_image(image), check_seed(seed)
        chosen = self._bundle.preset(preset)
        table = self._table(chosen, steps)
        count = _check_samples(chosen.samples if samples is None else samples)
        mean, spread = self._sample(engine, image, table, count, seed)
        return (mean, spread) if return_std else mean

    def _table(self, preset: Preset, steps: int | None) -> Table:
        if steps is None or steps == preset.sampler.steps:
            return preset.table
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer):
            raise OptionError(f"got steps {steps!r}; wanted is an integer from 0 to 500")
        sampler = with_steps(preset.sampler, int(steps))
        return compile_table(sampler, self._bundle.manifest.prediction)

    def _sample(
        self, engine: Engine, image: Image, table: Table, count: int, seed: int
    ) -> tuple[Image, Floats]:
        stages: dict[str, float] = dict.fromkeys(("predictor", "noise", "steps", "total"), 0.0)
        height, width = image.shape[:2]
        with _clocked(stages, "total"):
            y = to_model(_pad(image, self._bundle.manifest.size_multiple_px))
            engine = self._fitted(engine, y.shape[2], y.shape[3])
            with _clocked(stages, "predictor"):
                guess = engine.predict(y)
            if table.steps == 0:
                picture, spread = from_model(guess), np.zeros((height, width, 3), np.float32)
            else:
                residuals = self._residuals(engine, y, table, count, seed, stages)
                mean, variance = _mean_and_variance(residuals)
                picture = from_model(guess + mean)
                # Half the model's range is 127.5 grey levels.
                spread = np.float32(127.5) * np.sqrt(variance[0]).transpose(1, 2, 0)
        stages["steps"] -= stages["noise"]
        self._timings = stages
        return (
            np.ascontiguousarray(picture[:height, :width]),
            np.ascontiguousarray(spread[:height, :width]),
        )

    def _fitted(self, engine: Engine, height_px: int, width_px: int) -> Engine:
        """``engine`` as it is where the picture fits the memory, else run tile by tile."""
        manifest = self._bundle.manifest
        bytes_per_px = manifest.tiling.working_bytes_per_px
        if bytes_per_px is None:
            return engine
        side = tile_side_px(
            available_bytes() if self._memory_mib is None else self._memory_mib * MIB,
            height_px,
            width_px,
            bytes_per_px=bytes_per_px,
            multiple_px=manifest.size_multiple_px,
        )
        if side is None:
            return engine
        # Beyond the receptive field an overlap changes nothing; a quarter of a tile is affordable.
        overlap = min(2 * manifest.tiling.receptive_radius_px, side // 4)
        plan = plan_tiles(
            height_px,
            width_px,
            tile_px=side,
            overlap_px=overlap,
            multiple_px=manifest.size_multiple_px,
        )
        return TiledEngine(engine, plan)

    def _residuals(
        self,
        engine: Engine,
        y: Floats,
        table: Table,
        count: int,
        seed: int,
        stages: dict[str, float],
    ) -> Iterator[Floats]:
        for sample in range(count):
            with _clocked(stages, "steps"):
                noise = _noise_of(seed, sample, y.shape[2], y.shape[3], stages)
                residual = sample_residual(table, y, engine.step, noise)
            yield residual


def _noise_of(
    seed: int, sample: int, height_px: int, width_px: int, stages: dict[str, float]
) -> Callable[[int], Floats]:
    def draw(step: int) -> Floats:
        with _clocked(stages, "noise"):
            return normals(seed, sample, step, height_px, width_px)[None]

    return draw


@contextmanager
def _clocked(stages: dict[str, float], stage: str) -> Iterator[None]:
    """Add the milliseconds spent inside to ``stages[stage]``."""
    began = time.perf_counter()
    try:
        yield
    finally:
        stages[stage] += 1000.0 * (time.perf_counter() - began)


def _mean_and_variance(values: Iterator[Floats]) -> tuple[Floats, Floats]:
    """Mean and population variance in one pass (Welford 1962), without keeping the samples."""
    count, mean = 1, next(values)
    spread = np.zeros_like(mean)
    for value in values:
        count += 1
        difference = value - mean
        mean = mean + difference / np.float32(count)
        spread += difference * (value - mean)
    return mean, spread / np.float32(count)


def _pad(image: Image, multiple_px: int) -> Image:
    """Reflect ``image`` at the bottom and right up to multiples of ``multiple_px``."""
    bottom, right = (-side % multiple_px for side in image.shape[:2])
    return np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="reflect")


def _check_samples(samples: int) -> int:
    if isinstance(samples, bool) or not isinstance(samples, int | np.integer):
        raise OptionError(f"got samples {samples!r}; wanted is an integer from 1 to {MAX_SAMPLES}")
    if not 1 <= samples <= MAX_SAMPLES:
        raise OptionError(f"got {samples} samples; wanted are 1 to {MAX_SAMPLES}")
    return int(samples)


class _SessionCache:
    """The sessions that :func:`deblur` keeps open, the latest used ones last."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._sessions: OrderedDict[tuple[str | None, str], Session] = OrderedDict()

    def get(self, bundle: str | Path | None, engine: str) -> Session:
        key = (None if bundle is None else str(bundle), engine)
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = Session(bundle, engine=engine)
            self._sessions.move_to_end(key)
            # One that a thread still uses lives on until that call ends.
            while len(self._sessions) > self._capacity:
                self._sessions.popitem(last=False)
            return self._sessions[key]


_SESSIONS = _SessionCache(_OPEN_SESSIONS)


@overload
def deblur(
    image: Image,
    *,
    steps: int | None = None,
    samples: int | None = None,
    seed: int = 0,
    preset: str | None = None,
    bundle: str | Path | None = None,
    engine: str = "auto",
    return_std: Literal[False] = False,
) -> Image: ...


@overload
def deblur(
    image: Image,
    *,
    steps: int | None = None,
    samples: int | None = None,
    seed: int = 0,
    preset: str | None = None,
    bundle: str | Path | None = None,
    engine: str = "auto",
    return_std: Literal[True],
) -> tuple[Image, Floats]: ...


def deblur(
    image: Image,
    *,
    steps: int | None = None,
    samples: int | None = None,
    seed: int = 0,
    preset: str | None = None,
    bundle: str | Path | None = None,
    engine: str = "auto",
    return_std: bool = False,
) -> Image | tuple[Image, Floats]:
    """Deblur uint8 RGB (H, W, 3) of any size; returns uint8 RGB (H, W, 3).

    :meth:`Session.deblur` in one call: the session stays open for the next call with the same
    ``bundle`` and ``engine``. Raises ImageError, OptionError, BundleError and EngineError.
    """
    session = _SESSIONS.get(bundle, engine)
    return session.deblur(  # type: ignore[call-overload]
        image, steps=steps, samples=samples, seed=seed, preset=preset, return_std=return_std
    )
