"""The loop of a request on one GPU, for any library that runs the two networks there."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.cuda.driver import Driver
from runtime.cuda.graphs import MIB, GraphMode, Key, Needs, WorkCache
from runtime.cuda.kernels import Kernels
from runtime.cuda.memory import Scratch, aligned
from runtime.cuda.networks import Networks
from runtime.cuda.plan import Layout, extras_of, lay_out, table_checksum, turns_to_try
from runtime.cuda.work import LoopWork, NetworkWork
from runtime.device_images import DeviceImages
from runtime.engines import Request, Result
from runtime.errors import EngineError, ImageError

Floats = NDArray[np.float32]
Images = NDArray[np.uint8]

# What a driver keeps for itself, and what other programs may take meanwhile.
_SHARE_OF_FREE_MEMORY = 0.9
# Noise is worth keeping while it leaves room for several sizes of picture.
_SHARE_FOR_NOISE = 0.5
# A camera asks for the same one again and again; a folder of photographs for many.
_LAYOUTS_REMEMBERED = 64


class DeviceLoop:
    """Runs requests on ``driver`` with ``networks``, one at a time, from any thread.

    ``memory_mib`` bounds what is kept on the device beside the weights; None takes most of what is
    free. ``graph`` is "on", "off", or "auto", which measures. Owns ``networks`` and ``driver``.
    """

    def __init__(
        self,
        driver: Driver,
        networks: Networks,
        precision: str,
        *,
        graph: GraphMode = "auto",
        memory_mib: int | None = None,
    ) -> None:
        self._driver = driver
        self._networks = networks
        self._precision = precision
        self._memory_mib = memory_mib
        self._lock = threading.Lock()
        self._closed = False
        self._kernels = Kernels(driver)
        self._scratch = Scratch(driver)
        self._layouts: dict[tuple[Any, ...], Layout] = {}
        self._cache = WorkCache(driver, graph, self._budget_bytes, self._scratch)

    @property
    def cuda_device(self) -> int:
        """The ordinal of the device that the loop runs on."""
        return self._driver.ordinal

    def run(self, request: Request) -> Result:
        """Deblur all pictures of ``request``: as many at once as profile and memory allow.

        Raises EngineError, and ImageError for an array that lies on another device; the next call
        starts afresh.
        """
        with self._entered():
            self._check_places(request)
            parts, begin = [], 0
            while begin < len(request.images):
                layout = self._lay_out(request, len(request.images) - begin)
                parts.append(self._run_part(_part(request, begin, layout.pictures), layout))
                begin += layout.pictures
        return parts[0] if len(parts) == 1 else _joined(parts)

    def fits(self, request: Request) -> bool:
        """Whether profile and memory allow one picture of ``request`` with one sample at once."""
        with self._entered():
            try:
                layout = self._lay_out(request, 1)
            except EngineError:
                return False
            return self._needs(layout).total <= self._budget_bytes()

    def prewarm(self, requests: Sequence[Request]) -> dict[str, str]:
        """Run each of ``requests`` twice, so that libraries have compiled and graphs are there.

        Returns why each one runs as a graph or not. Raises EngineError.
        """
        verdicts = {}
        for request in requests:
            for _ in range(2):
                self.run(request)
            with self._lock:
                key = self._cache.keys[-1]
                verdicts[_describe(key)] = self._cache.verdict(key)
        return verdicts

    @property
    def verdicts(self) -> dict[str, str]:
        """Why each size that is kept runs as a graph or not."""
        with self._lock:
            return {_describe(key): self._cache.verdict(key) for key in self._cache.keys}

    def predict(self, y: Floats) -> Floats:
        """The predictor alone on float32 (N, 3, H, W)."""
        return self._run_network("predictor", {"y": y}, ("guess",))[0]

    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        """One step alone; see :class:`runtime.engines.Engine`."""
        values = {"z": z, "y": y, "noise": noise, "previous": previous, "row": row}
        z_next, residual = self._run_network("step", values, ("z_next", "residual"))
        return z_next, residual

    def close(self) -> None:
        """Give everything back; calls after this one raise EngineError, but for another of it."""
        if self._closed:
            return
        with self._entered():
            self._closed = True
            self._cache.clear()
            self._networks.close()
            self._driver.close()

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """One caller at a time: there is one stream, and one set of buffers for each size."""
        with self._lock:
            if self._closed:
                raise EngineError("this engine is closed; open another")
            self._driver.enter()
            yield

    def _run_part(self, request: Request, layout: Layout) -> Result:
        key = self._key(request, layout)
        work = self._cache.obtain(
            key,
            self._needs(layout),
            lambda: LoopWork(self._driver, self._kernels, self._networks, self._scratch, layout),
        )
        work.fill(request.images, request.seed)
        stages_ms = self._cache.run(key)
        try:
            work.check()
            if request.target is not None:
                work.deliver(request.target)
        except EngineError:
            self._cache.drop(key)
            raise
        return _result(request, layout, work, stages_ms)

    def _check_places(self, request: Request) -> None:
        for array in (request.images, request.target):
            if isinstance(array, DeviceImages) and not self._driver.owns(array.address):
                raise ImageError(
                    f"got an array at {array.address:#x}; wanted is memory of CUDA device "
                    f"{self._driver.ordinal}, where the engine runs: copy it there first"
                )

    def _lay_out(self, request: Request, pictures: int) -> Layout:
        """The largest batch of at most ``pictures`` that profile and memory allow.

        Raises EngineError where no batch is in the profile; what is too large for the memory is
        laid out all the same, one at a time, and refused when it is made.
        """
        places = (isinstance(request.images, DeviceImages), request.target is not None)
        asked = (
            pictures,
            *request.images.shape[1:3],
            request.samples,
            *extras_of(request),
            *places,
        )
        signature = (*asked, table_checksum(request.table))
        known = self._layouts.get(signature)
        if known is not None and self._cache.holds(self._key(request, known)):
            return known
        layout = self._search(request, pictures)
        if len(self._layouts) >= _LAYOUTS_REMEMBERED:
            self._layouts.clear()
        self._layouts[signature] = layout
        return layout

    def _search(self, request: Request, pictures: int) -> Layout:
        layout, refusal = None, None
        steps = request.table.steps
        budget = self._budget_bytes()
        for count, at_once in turns_to_try(pictures, request.samples if steps else 1):
            candidate = lay_out(request, count, at_once)
            try:
                self._check(candidate)
            except EngineError as error:
                refusal = error
                continue
            layout = self._with_noise(candidate, budget)
            if self._needs(layout).total <= budget:
                return layout
        if layout is None:
            assert refusal is not None
            raise refusal
        return layout

    def _check(self, layout: Layout) -> None:
        self._networks.check("predictor", layout.predictor_shape)
        if len(layout.rows):
            self._networks.check("step", layout.step_shape)

    def _with_noise(self, layout: Layout, budget: int) -> Layout:
        kept = layout.noise_bytes(resident=True)
        return replace(layout, resident=kept <= _SHARE_FOR_NOISE * budget)

    def _needs(self, layout: Layout) -> Needs:
        scratch = self._networks.scratch_bytes("predictor", layout.predictor_shape)
        if len(layout.rows):
            scratch = max(scratch, self._networks.scratch_bytes("step", layout.step_shape))
        return Needs(layout.buffer_bytes(), scratch)

    def _key(self, request: Request, layout: Layout) -> Key:
        return Key(
            kind="loop",
            height_px=layout.height_px,
            width_px=layout.width_px,
            batch=layout.pictures,
            samples=layout.samples,
            table=table_checksum(request.table),
            precision=self._precision,
            extras=layout.extras,
            from_device=layout.from_device,
            to_device=layout.to_device,
        )

    def _run_network(
        self, graph: str, values: Mapping[str, Floats], outputs: tuple[str, ...]
    ) -> list[Floats]:
        """One network on arrays, picture by picture where the profile takes no such batch."""
        shape = next(iter(values.values())).shape
        with self._entered():
            try:
                self._networks.check(graph, shape)
            except EngineError:
                if shape[0] == 1:
                    raise
                self._networks.check(graph, (1, *shape[1:]))
                singles = [
                    self._run_network_once(graph, _picture(values, index), outputs)
                    for index in range(shape[0])
                ]
                return [np.concatenate(parts) for parts in zip(*singles, strict=True)]
            return self._run_network_once(graph, values, outputs)

    def _run_network_once(
        self, graph: str, values: Mapping[str, Floats], outputs: tuple[str, ...]
    ) -> list[Floats]:
        inputs = {name: value.shape for name, value in values.items()}
        shape = next(iter(inputs.values()))
        results = dict.fromkeys(outputs, shape)
        sizes = [4 * int(np.prod(s)) for s in (*inputs.values(), *results.values())]
        needs = Needs(sum(map(aligned, sizes)), self._networks.scratch_bytes(graph, shape))
        key = Key(graph, shape[2], shape[3], shape[0], 1, "", self._precision)
        work = self._cache.obtain(
            key,
            needs,
            lambda: NetworkWork(
                self._driver, self._networks, self._scratch, graph, inputs, results
            ),
        )
        work.fill(values)
        self._cache.run(key)
        return [work.take(name) for name in outputs]

    def _budget_bytes(self) -> int:
        if self._memory_mib is not None:
            return self._memory_mib * MIB
        return int(_SHARE_OF_FREE_MEMORY * (self._driver.free_bytes() + self._cache.held_bytes))


def _part(request: Request, begin: int, count: int) -> Request:
    """``count`` of the pictures of ``request`` from ``begin`` on."""
    part, target = slice(begin, begin + count), request.target
    return replace(
        request,
        images=request.images[part],
        target=None if target is None else target[part],
    )


def _result(
    request: Request, layout: Layout, work: LoopWork, stages_ms: dict[str, float]
) -> Result:
    shape = request.images.shape
    images = None if layout.to_device else work.take("pictures").reshape(shape)
    std = samples = None
    if request.want_std:
        # Without steps there is one picture and nothing that could differ.
        none = "std" not in layout.extras
        std = np.zeros(shape, np.float32) if none else work.take("std").view(np.float32)
        std = std.reshape(shape)
    if request.want_samples:
        none = "samples" not in layout.extras
        drawn = work.take("pictures" if none else "samples").reshape(shape[0], -1, *shape[1:])
        samples = np.repeat(drawn, request.samples, 1) if none else drawn
    return Result(images=images, std=std, samples=samples, stages_ms=stages_ms)


def _joined(parts: Sequence[Result]) -> Result:
    stages = {stage: 0.0 for part in parts for stage in part.stages_ms}
    for part in parts:
        for stage, took in part.stages_ms.items():
            stages[stage] += took
    return Result(
        images=_stacked([part.images for part in parts]),
        std=_stacked([part.std for part in parts]),
        samples=_stacked([part.samples for part in parts]),
        stages_ms=stages,
    )


def _stacked(parts: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    present = [part for part in parts if part is not None]
    return np.concatenate(present) if present else None


def _picture(values: Mapping[str, Floats], index: int) -> dict[str, Floats]:
    return {
        name: value[index : index + 1] if value.ndim == 4 else value
        for name, value in values.items()
    }


def _describe(key: Key) -> str:
    return f"{key.kind} {key.batch} x {key.width_px}x{key.height_px}, {key.samples} samples" + (
        f", table {key.table}" if key.table else ""
    )
