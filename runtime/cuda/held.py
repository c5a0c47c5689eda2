"""What a piece of work owns on the device, and the scratch memory that it shares."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.cuda.driver import Driver, Pinned
from runtime.cuda.memory import Buffers, Scratch
from runtime.cuda.networks import Networks, Runner


class Held:
    """What both kinds of work own, and the scratch memory that they share with all others."""

    def __init__(self, driver: Driver, scratch: Scratch) -> None:
        self._driver = driver
        self._scratch = scratch
        self._runners: list[Runner] = []
        self._pinned: list[Pinned] = []
        self._buffers: Buffers | None = None
        self._generation = -1

    @property
    def held_bytes(self) -> int:
        return 0 if self._buffers is None else self._buffers.size

    @property
    def stamp(self) -> tuple[int, ...]:
        return (self._generation,)

    @property
    def capturable(self) -> bool:
        return all(runner.capturable for runner in self._runners)

    def prepare(self) -> None:
        """Give the runners the scratch memory of now, where it has changed."""
        if self._generation == self._scratch.generation:
            return
        self._scratch.reserve(max(runner.scratch_bytes for runner in self._runners))
        for runner in self._runners:
            runner.use_scratch(self._scratch.address, self._scratch.size)
        self._generation = self._scratch.generation

    def close(self) -> None:
        """Give everything back but the scratch memory."""
        while self._runners:
            self._runners.pop().close()
        while self._pinned:
            self._driver.unpin(self._pinned.pop())
        if self._buffers is not None:
            self._buffers.close()

    def _open(self, networks: Networks, graph: str, shape: tuple[int, ...]) -> Runner:
        runner = networks.open(graph, shape)
        self._runners.append(runner)
        return runner

    def _pin(self, size: int) -> Pinned:
        pinned = self._driver.pin(size)
        self._pinned.append(pinned)
        return pinned

    def _hold(self, sizes: Mapping[str, int]) -> Buffers:
        self._buffers = Buffers(self._driver, sizes)
        return self._buffers
