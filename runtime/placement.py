"""Where a request runs: on the engine's own loop or the host's, whole, in parts or in tiles."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from runtime.buffers import BufferPool, Buffers
from runtime.bundle import Manifest
from runtime.engines import CudaEngine, Engine, LoopEngine, Request, Result
from runtime.errors import EngineError
from runtime.loop import merge_stages, run_on_host
from runtime.noise_fields import NoiseFields
from runtime.plans.devices import cuda_devices
from runtime.tiles import (
    KEPT_BYTES,
    MIB,
    SHARE_OF_FREE_MEMORY,
    Portion,
    available_bytes,
    kept_bytes,
    portion_that_fits,
    tile_that_fits,
    tiled,
)


class Placement:
    """An opened engine within ``memory_mib`` (None: what is free); safe from several threads."""

    def __init__(
        self, engine: Engine, manifest: Manifest, memory_mib: int | None, *, on_gpu: bool = False
    ) -> None:
        self._engine: Engine | None = engine
        self._manifest, self._on_gpu = manifest, on_gpu
        budget = None if memory_mib is None else memory_mib * MIB
        kept = KEPT_BYTES if budget is None else kept_bytes(budget)
        self._budget = None if budget is None else budget - kept
        self._fields = NoiseFields(kept)
        self._buffers = BufferPool(kept)
        self._lock = threading.Lock()
        self._calls, self._closed = 0, False

    @property
    def cuda_device(self) -> int | None:
        """The ordinal of the GPU whose arrays the engine takes as they are, or None."""
        return self._engine.cuda_device if isinstance(self._engine, CudaEngine) else None

    def close(self) -> None:
        """Let go of the noise now, and of the engine as soon as no call uses it."""
        self._fields.close()
        with self._lock:
            idle, self._closed = self._calls == 0 and not self._closed, True
        if idle:
            self._close_engine()

    @contextmanager
    def call(self) -> Iterator[Buffers]:
        """Keep the engine open for one call, which has these arrays; raises EngineError."""
        with self._lock:
            if self._closed:
                raise EngineError("this session is closed; open another")
            self._calls += 1
        try:
            with self._buffers.lent() as buffers:
                yield buffers
        finally:
            with self._lock:
                self._calls -= 1
                last = self._closed and self._calls == 0
            if last:
                self._close_engine()

    def _close_engine(self) -> None:
        """Let go of it; one that holds a device's memory has a ``close`` of its own."""
        engine, self._engine = self._engine, None
        close = getattr(engine, "close", None)
        if close is not None:
            close()

    def answer(self, request: Request, buffers: Buffers) -> Result:
        """By the engine's own loop where the request fits it, else by the one on the host.

        Raises EngineError, and OptionError where the picture's own arrays exceed the memory.
        """
        engine = self._engine
        assert engine is not None, "answer() runs inside call()"
        images = request.images
        if isinstance(engine, LoopEngine) and engine.fits(request):
            if isinstance(images, np.ndarray):
                request = replace(request, images=np.ascontiguousarray(images))
            return engine.run(request)
        if not isinstance(images, np.ndarray) or request.target is not None:
            raise EngineError(
                f"a picture of {images.shape[2]}x{images.shape[1]} px on the GPU does not fit the "
                "engine as a whole, and tiles are cut on the host: copy it there first, with "
                ".cpu() in torch or cupy.asnumpy(), and name no out= on the GPU"
            )
        portion = self._portion(request)
        if portion.images < len(request.images):
            parts = _split(request, portion.images)
            return _joined([self.answer(part, buffers) for part in parts])
        if portion.tile_px is not None:
            engine = tiled(
                engine,
                portion.tile_px,
                *request.images.shape[1:3],
                receptive_radius_px=self._manifest.tiling.receptive_radius_px,
                multiple_px=self._manifest.size_multiple_px,
            )
        return run_on_host(engine, request, self._fields, buffers, samples_at_once=portion.samples)

    def _portion(self, request: Request) -> Portion:
        count, height, width, _ = request.images.shape
        multiple_px = self._manifest.size_multiple_px
        bytes_per_px = self._manifest.tiling.working_bytes_per_px
        if isinstance(self._engine, LoopEngine):
            return _portion_of(self._engine, request, multiple_px)
        if bytes_per_px is None:
            return Portion(1, 1)
        # What the host holds takes nothing of a GPU's memory.
        held_bytes = 0 if self._on_gpu else request.held_bytes
        return portion_that_fits(
            self._available_bytes(held_bytes),
            count,
            request.samples,
            height,
            width,
            bytes_per_px=bytes_per_px,
            multiple_px=multiple_px,
            held_bytes=held_bytes,
        )

    def _available_bytes(self, held_bytes: int) -> int:
        """The memory for a call that holds so much of the host's already."""
        if self._budget is not None:
            return self._budget
        gpus = cuda_devices() if self._on_gpu else ()
        if gpus:
            return int(SHARE_OF_FREE_MEMORY * gpus[0].memory_bytes)
        # What is held is no longer free.
        return available_bytes() + held_bytes


def _portion_of(engine: LoopEngine, request: Request, multiple_px: int) -> Portion:
    """What of ``request``, which as a whole does not fit, ``engine`` can take."""
    single = replace(request, samples=1, want_std=False, want_samples=False)

    def fits(height_px: int, width_px: int) -> bool:
        # A view of one pixel: only the shape is asked about.
        pixel = np.broadcast_to(np.uint8(0), (1, height_px, width_px, 3))
        return engine.fits(replace(single, images=pixel))

    return tile_that_fits(fits, *request.images.shape[1:3], multiple_px=multiple_px)


def _split(request: Request, images_at_once: int) -> Iterator[Request]:
    for first in range(0, len(request.images), images_at_once):
        yield replace(request, images=request.images[first : first + images_at_once])


def _joined(results: list[Result]) -> Result:
    return Result(
        _concatenated([result.images for result in results]),
        _concatenated([result.std for result in results]),
        _concatenated([result.samples for result in results]),
        merge_stages([result.stages_ms for result in results]),
    )


def _concatenated(parts: list[Any]) -> Any:
    return None if parts[0] is None else np.concatenate(parts)
