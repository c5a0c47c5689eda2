"""A driver whose device is this computer's memory, and networks that ONNX Runtime runs in it.

It does what it is told and writes down the calls; what is put on the stream while it captures is
done when the graph is launched, and not before. Memory that was given back is never touched.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtime.bundle import Bundle
from runtime.cuda.driver import THREADS_PER_BLOCK, Argument, DeviceMemoryError, Pinned
from runtime.cuda.memory import ALIGNMENT
from runtime.errors import EngineError

Job = Callable[[], None]


@dataclass
class HostDriver:
    """``library`` is host_kernels.cpp, built. Times are made up: so much for each call or graph."""

    library: ctypes.CDLL
    capacity: int = 2**30
    call_ms: float = 1.0
    graph_ms: float = 1.0
    calls: list[str] = field(default_factory=list)
    stream: int = 7
    ordinal: int = 0

    def __post_init__(self) -> None:
        self.memory: dict[int, tuple[int, Any]] = {}
        self.graphs: dict[int, list[Job]] = {}
        self.captured: list[Job] | None = None
        self.kernels: list[str] = []
        self.failing: set[str] = set()
        self.events: dict[int, float] = {}
        self.clock_ms = 0.0
        self.crossed_bytes = 0
        self._handles = iter(range(1, 10**9))

    @property
    def held(self) -> int:
        return sum(size for size, _ in self.memory.values())

    def enter(self) -> None:
        self._note("enter")

    def free_bytes(self) -> int:
        return self.capacity - self.held

    def allocate(self, size: int) -> int:
        self._note("allocate")
        assert self.captured is None, "memory was asked for during a capture"
        if size > self.free_bytes():
            raise DeviceMemoryError("no memory left; give less with --memory")
        block = ctypes.create_string_buffer(size + ALIGNMENT)
        # What the device holds at first is anything: here, what would be seen.
        ctypes.memset(block, 0xFF, size + ALIGNMENT)
        address = -(-ctypes.addressof(block) // ALIGNMENT) * ALIGNMENT
        self.memory[address] = (size, block)
        return address

    def release(self, address: int) -> None:
        self._note("release")
        del self.memory[address]

    def pin(self, size: int) -> Pinned:
        block = np.full(size, 0xFF, np.uint8)
        return Pinned(block.ctypes.data, block)

    def unpin(self, pinned: Pinned) -> None:
        self._note("unpin")

    def upload(self, target: int, source: int, size: int) -> None:
        self.work("upload", lambda: self._copy(target, source, size, device=target))

    def download(self, target: int, source: int, size: int) -> None:
        self.work("download", lambda: self._copy(target, source, size, device=source))

    def clear(self, target: int, size: int) -> None:
        self.work("clear", lambda: ctypes.memset(self.at(target, size), 0, size))

    def wait_for(self, stream: int) -> None:
        assert self.captured is None, "another stream was waited for during a capture"
        self._note(f"wait for {stream}")

    def owns(self, address: int) -> bool:
        return any(start <= address < start + size for start, (size, _) in self.memory.items())

    def load_kernels(self, source: str, names: Sequence[str]) -> Mapping[str, int]:
        self.kernels = list(names)
        return {name: number for number, name in enumerate(names)}

    def launch(self, kernel: int, threads: int, arguments: Sequence[Argument]) -> None:
        name, kept = self.kernels[kernel], list(arguments)

        def job() -> None:
            pointers = (ctypes.c_void_p * len(kept))(*map(ctypes.addressof, kept))
            blocks = -(-threads // THREADS_PER_BLOCK)
            code = self.library.launch(
                name.encode(), blocks, THREADS_PER_BLOCK, pointers, len(kept)
            )
            assert code == 0, (name, code)

        self.work(name, job)

    def record(self) -> int:
        event = next(self._handles)
        self.events[event] = self.clock_ms
        return event

    def elapsed_ms(self, first: int, second: int) -> float:
        return self.events[second] - self.events[first]

    def forget(self, event: int) -> None:
        del self.events[event]

    def synchronize(self) -> None:
        assert self.captured is None, "the stream was waited for during a capture"
        self._note("synchronize")

    def begin_capture(self) -> None:
        self._note("begin_capture")
        self.captured = []

    def end_capture(self) -> int:
        graph = next(self._handles)
        assert self.captured is not None
        self.graphs[graph], self.captured = self.captured, None
        self._note("end_capture")
        return graph

    def abandon_capture(self) -> None:
        self.captured = None
        self._note("abandon_capture")

    def launch_graph(self, graph: int) -> None:
        self._note("launch_graph")
        self.clock_ms += self.graph_ms
        for job in self.graphs[graph]:
            job()

    def destroy_graph(self, graph: int) -> None:
        self._note("destroy_graph")
        del self.graphs[graph]

    def close(self) -> None:
        self._note("close")

    def work(self, name: str, job: Job) -> None:
        """Do ``job``, or note it where a graph is being captured."""
        self._note(name)
        if self.captured is not None:
            self.captured.append(job)
        else:
            self.clock_ms += self.call_ms
            job()

    def at(self, address: int, size: int) -> int:
        """``address``, if so much memory is held there."""
        for start, (held, _) in self.memory.items():
            if start <= address and address + size <= start + held:
                return address
        raise AssertionError(f"{size} bytes at {address:#x} are not held")

    def _copy(self, target: int, source: int, size: int, *, device: int) -> None:
        self.at(device, size)
        self.crossed_bytes += size
        ctypes.memmove(target, source, size)

    def _note(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failing:
            raise EngineError(f"{name} failed with CUDA_ERROR_UNKNOWN")


def sessions_of(bundle: Bundle) -> dict[str, Any]:
    """ONNX Runtime sessions of both networks."""
    from onnxruntime import InferenceSession

    graphs = {"predictor": bundle.manifest.predictor, "step": bundle.manifest.step}
    return {name: InferenceSession(str(bundle.path(graph.file))) for name, graph in graphs.items()}


class HostNetworks:
    """Both networks by their ``sessions``, for sizes up to ``max_px`` a side and ``max_batch``."""

    def __init__(
        self,
        driver: HostDriver,
        sessions: Mapping[str, Any],
        *,
        max_batch: int = 1,
        max_px: int = 64,
    ) -> None:
        self.driver, self.max_batch, self.max_px = driver, max_batch, max_px
        self.sessions = sessions
        self.capturable = True
        self.refusing: set[str] = set()
        self.poison = False
        self.runners: list[HostRunner] = []

    def check(self, graph: str, shape: tuple[int, ...]) -> None:
        if shape[0] > self.max_batch or max(shape[2:]) > self.max_px:
            raise EngineError(f"{shape} is outside the profile; build it: python -m export.trt")

    def scratch_bytes(self, graph: str, shape: tuple[int, ...]) -> int:
        return 16 * shape[0] * shape[2] * shape[3]

    def open(self, graph: str, shape: tuple[int, ...]) -> HostRunner:
        self.check(graph, shape)
        runner = HostRunner(self, graph, shape)
        self.runners.append(runner)
        return runner

    def close(self) -> None:
        self.runners.clear()


class HostRunner:
    def __init__(self, networks: HostNetworks, graph: str, shape: tuple[int, ...]) -> None:
        self.networks, self.graph, self.shape = networks, graph, shape
        self.scratch_bytes = networks.scratch_bytes(graph, shape)
        self.scratch = (0, 0)
        self.bound: dict[str, int] = {}
        self.open = True

    @property
    def capturable(self) -> bool:
        return self.networks.capturable

    def use_scratch(self, address: int, size: int) -> None:
        assert size >= self.scratch_bytes
        self.scratch = (address, size)

    def bind(self, addresses: Mapping[str, int]) -> None:
        assert all(address % ALIGNMENT == 0 for address in addresses.values())
        self.bound |= addresses

    def enqueue(self) -> None:
        if self.graph in self.networks.refusing:
            raise EngineError(f"the library refused to enqueue the {self.graph}")
        bound, scratch = dict(self.bound), self.scratch
        self.networks.driver.work(self.graph, lambda: self._compute(bound, scratch))

    def close(self) -> None:
        self.open = False

    def _compute(self, bound: Mapping[str, int], scratch: tuple[int, int]) -> None:
        assert self.open, "a network was run after its context was closed"
        session = self.networks.sessions[self.graph]
        self.networks.driver.at(*scratch)
        values = {given.name: self._view(given.name, bound) for given in session.get_inputs()}
        names = [given.name for given in session.get_outputs()]
        results = session.run(names, values)
        for name, result in zip(names, results, strict=True):
            self._view(name, bound)[:] = np.nan if self.networks.poison else result

    def _view(self, name: str, bound: Mapping[str, int]) -> Any:
        shape = (7,) if name == "row" else self.shape
        size = 4 * int(np.prod(shape))
        block = (ctypes.c_float * (size // 4)).from_address(
            self.networks.driver.at(bound[name], size)
        )
        return np.ctypeslib.as_array(block).reshape(shape)
