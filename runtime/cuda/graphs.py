"""What is kept on the device from call to call: work by its key, and CUDA graphs of it.

A piece of work owns its buffers and contexts and can put itself on the stream. It is run as it is
the first time (that warms it up), captured the second time, and replayed from then on. A graph
holds addresses; so it carries the stamp that its work had when it was captured, and is never
launched once that stamp has changed.
"""

from __future__ import annotations

import itertools
import statistics
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, cast

from runtime.cuda.driver import DeviceMemoryError, Driver
from runtime.cuda.memory import Scratch
from runtime.errors import EngineError, OptionError

GraphMode = Literal["auto", "on", "off"]
MODES: tuple[GraphMode, ...] = ("auto", "on", "off")
MIB = 2**20

_RUNS_TO_COMPARE = 3


@dataclass(frozen=True)
class Key:
    """What a captured graph is good for: anything else that changes is in memory, or a stamp.

    ``kind`` is "loop", "predictor" or "step"; ``batch`` counts pictures, ``samples`` those of one
    picture, ``table`` is the checksum of the sampler's rows, ``precision`` the bundle's, and
    ``extras`` what else comes back: "std", "samples". Pictures may lie on the device before and
    after.
    """

    kind: str
    height_px: int
    width_px: int
    batch: int
    samples: int
    table: str
    precision: str
    extras: tuple[str, ...] = ()
    from_device: bool = False
    to_device: bool = False


@dataclass(frozen=True)
class Needs:
    """Device memory of one piece of work: its own buffers, and the scratch that all share."""

    buffer_bytes: int
    scratch_bytes: int

    @property
    def total(self) -> int:
        return self.buffer_bytes + self.scratch_bytes


Mark = Callable[[str], None]


def no_mark(stage: str) -> None:
    """The mark of work that nobody takes the time of."""


class Work(Protocol):
    """Buffers, contexts, and what is done with them."""

    @property
    def held_bytes(self) -> int:
        """Device memory that :meth:`close` gives back."""

    @property
    def stamp(self) -> tuple[int, ...]:
        """Changes whenever an address or a context that the work uses does."""

    @property
    def capturable(self) -> bool:
        """Whether a graph can be made of it at all."""

    def prepare(self) -> None:
        """Do what must be done before each run and cannot be part of a graph."""

    def enqueue(self, mark: Mark) -> None:
        """Put everything on the stream, and after each stage call ``mark`` with its name.

        Raises EngineError where a library refuses.
        """

    def close(self) -> None:
        """Give everything back."""


W = TypeVar("W", bound=Work)


@dataclass
class _Entry:
    work: Work
    # The stamp of the work when it was last run piece by piece.
    warmed: tuple[int, ...] | None = None
    graph: int | None = None
    stamp: tuple[int, ...] = ()
    # None: not compared yet. What was found stays true when the graph is captured again.
    pays: bool | None = None
    verdict: str = "not captured yet"


class WorkCache:
    """The least recently used work goes first where ``budget()`` bytes would be exceeded.

    ``mode`` "on" makes a graph of everything, "off" of nothing; "auto" measures both and keeps the
    graph where it is faster. Not safe from several threads: who owns it locks.
    """

    def __init__(
        self,
        driver: Driver,
        mode: GraphMode,
        budget: Callable[[], int],
        scratch: Scratch,
    ) -> None:
        if mode not in MODES:
            raise OptionError(f"got graph '{mode}'; wanted is one of {', '.join(MODES)}")
        self._driver = driver
        self._mode = mode
        self._budget = budget
        self._scratch = scratch
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()

    @property
    def keys(self) -> tuple[Key, ...]:
        """What is kept, the least recently used first."""
        return tuple(self._entries)

    @property
    def held_bytes(self) -> int:
        """Device memory of everything kept, the scratch memory that all share included."""
        return self._scratch.size + sum(entry.work.held_bytes for entry in self._entries.values())

    def holds(self, key: Key) -> bool:
        """Whether ``key`` is kept."""
        return key in self._entries

    def verdict(self, key: Key) -> str:
        """Why ``key`` runs as a graph or not, with the milliseconds that decided."""
        return self._entries[key].verdict

    def obtain(self, key: Key, needs: Needs, make: Callable[[], W]) -> W:
        """The work of ``key``, made where it is not kept; raises DeviceMemoryError.

        Where the device refuses although the budget allowed it, everything else is let go first.
        """
        if key in self._entries:
            self._entries.move_to_end(key)
            # A key names its kind, so what is kept under it is what `make` makes.
            return cast("W", self._entries[key].work)
        self._make_room(key, needs)
        try:
            work = make()
        except DeviceMemoryError:
            if not self._entries:
                raise
            self.clear()
            work = make()
        self._entries[key] = _Entry(work)
        return work

    def run(self, key: Key) -> dict[str, float]:
        """Run the kept work of ``key``, wait for it, and return its milliseconds by stage.

        A graph is one stage, "graph". After an error the work is gone, and the next call makes it
        anew. Raises EngineError.
        """
        entry = self._entries[key]
        try:
            entry.work.prepare()
            self._capture_if_due(entry)
            if entry.graph is not None:
                return self._timed(self._launch(entry.graph))
            stages = self._timed(entry.work.enqueue)
            entry.warmed = entry.work.stamp
        except BaseException:
            self._abandon(key)
            raise
        return stages

    def drop(self, key: Key) -> None:
        """Let go of one piece of work and its graph."""
        entry = self._entries.pop(key)
        self._drop_graph(entry)
        entry.work.close()

    def clear(self) -> None:
        """Let go of everything, the scratch memory included."""
        while self._entries:
            self.drop(next(iter(self._entries)))
        self._driver.synchronize()
        self._scratch.close()

    def _make_room(self, key: Key, needs: Needs) -> None:
        budget = self._budget()
        while self._entries and self._with(needs) > budget:
            self.drop(next(iter(self._entries)))
        if not self._entries and self._with(needs) > budget:
            self.clear()
        if self._with(needs) > budget:
            raise DeviceMemoryError(
                f"{key.batch} x {key.width_px}x{key.height_px} with {key.samples} samples takes "
                f"{needs.total / MIB:.0f} MiB of GPU memory and there are {budget / MIB:.0f}; "
                "give more with --memory (memory_mib=), fewer samples, or a smaller picture"
            )

    def _with(self, needs: Needs) -> int:
        """What would be held if work with ``needs`` were added."""
        growth = max(needs.scratch_bytes - self._scratch.size, 0)
        return self.held_bytes + growth + needs.buffer_bytes

    def _capture_if_due(self, entry: _Entry) -> None:
        """See to it that ``entry`` has a graph of its work as it is now, or none."""
        if entry.graph is not None and entry.stamp != entry.work.stamp:
            self._drop_graph(entry)
        # The first run warms up: libraries allocate, compile and choose kernels then.
        warm = entry.warmed == entry.work.stamp
        due = entry.graph is None and warm and entry.pays is not False
        if self._mode == "off" or not due:
            return
        if not entry.work.capturable:
            self._refuse(entry, "the library says that its work cannot be captured")
            return
        try:
            self._capture(entry)
        except EngineError as error:
            self._refuse(entry, f"capturing failed: {error}", error)
            return
        if self._mode == "auto" and entry.pays is None:
            self._compare(entry)

    def _capture(self, entry: _Entry) -> None:
        stamp = entry.work.stamp
        self._driver.begin_capture()
        try:
            entry.work.enqueue(no_mark)
        except BaseException:
            self._driver.abandon_capture()
            raise
        entry.graph = self._driver.end_capture()
        entry.stamp = stamp
        if entry.pays is None:
            entry.verdict = "graph, as asked for"

    def _refuse(self, entry: _Entry, why: str, cause: EngineError | None = None) -> None:
        entry.pays, entry.verdict = False, f"no graph: {why}"
        if self._mode == "on":
            raise EngineError(f"{why}; take graph='auto' or 'off'") from cause

    def _compare(self, entry: _Entry) -> None:
        """Measure the graph against the same work put on the stream piece by piece."""
        assert entry.graph is not None
        with_graph = self._median_ms(self._launch(entry.graph))
        without = self._median_ms(entry.work.enqueue)
        entry.pays = with_graph < without
        found = f"{with_graph:.3f} ms as a graph, {without:.3f} ms without"
        entry.verdict = f"graph: {found}" if entry.pays else f"no graph: {found}"
        if not entry.pays:
            self._drop_graph(entry)

    def _median_ms(self, enqueue: Callable[[Mark], None]) -> float:
        runs = [sum(self._timed(enqueue).values()) for _ in range(_RUNS_TO_COMPARE)]
        return statistics.median(runs)

    def _launch(self, graph: int) -> Callable[[Mark], None]:
        def enqueue(mark: Mark) -> None:
            self._driver.launch_graph(graph)
            mark("graph")

        return enqueue

    def _timed(self, enqueue: Callable[[Mark], None]) -> dict[str, float]:
        """Run ``enqueue`` to its end; the milliseconds between its marks, on the device's clock."""
        stages: list[str] = []
        events = [self._driver.record()]

        def mark(stage: str) -> None:
            stages.append(stage)
            events.append(self._driver.record())

        try:
            enqueue(mark)
            self._driver.synchronize()
            spans = itertools.pairwise(events)
            times = [self._driver.elapsed_ms(first, second) for first, second in spans]
        finally:
            for event in events:
                self._driver.forget(event)
        return dict(zip(stages, times, strict=True))

    def _drop_graph(self, entry: _Entry) -> None:
        if entry.graph is not None:
            graph, entry.graph = entry.graph, None
            self._driver.destroy_graph(graph)

    def _abandon(self, key: Key) -> None:
        """Let go after an error: what is closed may itself fail, and the first error counts."""
        with suppress(EngineError):
            # Nothing of it may still be running when its memory goes.
            self._driver.synchronize()
        try:
            self.drop(key)
        except EngineError:
            self._entries.pop(key, None)
