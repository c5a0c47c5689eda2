"""Which work is kept, captured and replayed: read off the calls that a recording driver gets."""

from __future__ import annotations

import ctypes

import pytest
from host_driver import HostDriver

from runtime.cuda.driver import DeviceMemoryError
from runtime.cuda.graphs import GraphMode, Key, Mark, Needs, WorkCache
from runtime.cuda.memory import Scratch
from runtime.errors import EngineError, OptionError

KIB = 1024


def key(width_px: int, table: str = "a") -> Key:
    return Key("loop", 64, width_px, 1, 1, table, "float16")


class Piece:
    """Work of one job; ``address`` stands for the buffers and the context that it uses."""

    def __init__(self, driver: HostDriver, size: int = KIB) -> None:
        self.driver, self.held_bytes, self.address = driver, size, 1
        self.capturable, self.refuses, self.closed = True, False, False
        self.memory = driver.allocate(size)
        self.done: list[int] = []

    @property
    def stamp(self) -> tuple[int, ...]:
        return (self.address,)

    def prepare(self) -> None:
        pass

    def enqueue(self, mark: Mark) -> None:
        if self.refuses:
            raise EngineError("the library refused")
        address = self.address
        self.driver.work("job", lambda: self.done.append(address))
        mark("job")

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        self.driver.release(self.memory)


@pytest.fixture
def driver() -> HostDriver:
    return HostDriver(ctypes.CDLL(None))


def cache_of(driver: HostDriver, mode: GraphMode = "on", budget: int = 100 * KIB) -> WorkCache:
    return WorkCache(driver, mode, lambda: budget, Scratch(driver))


def add(cache: WorkCache, driver: HostDriver, width_px: int, size: int = KIB) -> Piece:
    return cache.obtain(key(width_px), Needs(size, 0), lambda: Piece(driver, size))


def calls_of(driver: HostDriver, cache: WorkCache, width_px: int = 8) -> list[str]:
    """The calls of one run, but those that take the time."""
    driver.calls.clear()
    cache.run(key(width_px))
    return [name for name in driver.calls if name != "synchronize"]


def test_work_is_warmed_up_then_captured_then_only_replayed(driver: HostDriver) -> None:
    cache = cache_of(driver)
    piece = add(cache, driver, 8)
    assert calls_of(driver, cache) == ["job"]
    captured = ["begin_capture", "job", "end_capture", "launch_graph"]
    assert calls_of(driver, cache) == captured
    assert calls_of(driver, cache) == ["launch_graph"]
    assert piece.done == [1, 1, 1]


def test_a_graph_is_one_stage_and_single_calls_are_many(driver: HostDriver) -> None:
    cache = cache_of(driver)
    add(cache, driver, 8)
    driver.graph_ms = 0.25
    assert [cache.run(key(8)) for _ in range(2)] == [{"job": 1.0}, {"graph": 0.25}]
    assert not driver.events


def test_off_captures_nothing(driver: HostDriver) -> None:
    cache = cache_of(driver, "off")
    add(cache, driver, 8)
    assert [calls_of(driver, cache) for _ in range(3)] == [["job"]] * 3


def test_auto_keeps_a_graph_that_is_faster(driver: HostDriver) -> None:
    driver.graph_ms = 0.5
    cache = cache_of(driver, "auto")
    add(cache, driver, 8)
    for _ in range(2):
        cache.run(key(8))
    assert calls_of(driver, cache) == ["launch_graph"]
    assert cache.verdict(key(8)) == "graph: 0.500 ms as a graph, 1.000 ms without"


def test_auto_leaves_a_graph_off_that_does_not_pay_and_does_not_try_again(
    driver: HostDriver,
) -> None:
    driver.graph_ms = 1.5
    cache = cache_of(driver, "auto")
    add(cache, driver, 8)
    for _ in range(2):
        cache.run(key(8))
    assert not driver.graphs
    assert [calls_of(driver, cache) for _ in range(2)] == [["job"]] * 2
    assert cache.verdict(key(8)) == "no graph: 1.500 ms as a graph, 1.000 ms without"


def test_a_graph_is_not_replayed_once_an_address_or_context_has_changed(
    driver: HostDriver,
) -> None:
    cache = cache_of(driver)
    piece = add(cache, driver, 8)
    for _ in range(3):
        cache.run(key(8))
    piece.address = 2
    # Dropped, warmed up at the new address, and captured anew: never launched in between.
    assert calls_of(driver, cache) == ["destroy_graph", "job"]
    assert calls_of(driver, cache) == ["begin_capture", "job", "end_capture", "launch_graph"]
    assert piece.done[3:] == [2, 2]


def test_the_least_recently_used_work_goes_first(driver: HostDriver) -> None:
    cache = cache_of(driver, budget=3 * KIB)
    pieces = {width: add(cache, driver, width) for width in (8, 16, 24)}
    add(cache, driver, 8)
    add(cache, driver, 32)
    assert cache.keys == (key(24), key(8), key(32))
    assert pieces[16].closed
    assert driver.held == cache.held_bytes == 3 * KIB


def test_a_graph_goes_before_the_memory_that_it_was_captured_over(driver: HostDriver) -> None:
    cache = cache_of(driver, budget=KIB)
    add(cache, driver, 8)
    for _ in range(2):
        cache.run(key(8))
    driver.calls.clear()
    add(cache, driver, 16)
    assert driver.calls == ["destroy_graph", "release", "allocate"]


def test_more_than_the_budget_is_refused_with_what_it_takes_and_what_to_do(
    driver: HostDriver,
) -> None:
    cache = cache_of(driver, budget=2**20)
    with pytest.raises(DeviceMemoryError, match=r"takes 3 MiB .* there are 1; .*--memory"):
        cache.obtain(key(8), Needs(2**20, 2**21), lambda: Piece(driver))
    assert not cache.keys


def test_scratch_memory_counts_once_for_all_work(driver: HostDriver) -> None:
    scratch = Scratch(driver)
    cache = WorkCache(driver, "on", lambda: 6 * KIB, scratch)
    scratch.reserve(4 * KIB)
    for width in (8, 16):
        cache.obtain(key(width), Needs(KIB, 4 * KIB), lambda: Piece(driver))
    assert len(cache.keys) == 2
    assert cache.held_bytes == 6 * KIB


def test_a_device_that_refuses_is_asked_again_after_everything_else_has_gone(
    driver: HostDriver,
) -> None:
    cache = cache_of(driver)
    first = add(cache, driver, 8, 2 * KIB)
    driver.capacity = 3 * KIB
    add(cache, driver, 16, 2 * KIB)
    assert first.closed
    assert cache.keys == (key(16),)


def test_a_failing_run_lets_its_work_go_and_the_next_one_starts_afresh(
    driver: HostDriver,
) -> None:
    cache = cache_of(driver)
    piece = add(cache, driver, 8)
    piece.refuses = True
    with pytest.raises(EngineError, match="refused"):
        cache.run(key(8))
    assert piece.closed
    assert not driver.memory
    assert not driver.events
    add(cache, driver, 8)
    assert calls_of(driver, cache) == ["job"]


@pytest.mark.parametrize("refusal", ["refuses", "end_capture", "not capturable"])
def test_auto_says_why_there_is_no_graph_and_goes_on_without(
    driver: HostDriver, refusal: str
) -> None:
    cache = cache_of(driver, "auto")
    piece = add(cache, driver, 8)
    cache.run(key(8))
    _refuse(driver, piece, refusal)
    if refusal == "refuses":
        # A library that refuses while capturing only: the run itself succeeds.
        driver.begin_capture = lambda: setattr(piece, "refuses", True)  # type: ignore[method-assign]
        driver.abandon_capture = lambda: setattr(piece, "refuses", False)  # type: ignore[method-assign]
    cache.run(key(8))
    assert cache.verdict(key(8)).startswith("no graph: ")
    assert len(piece.done) == 2
    assert driver.captured is None or refusal == "end_capture"


def _refuse(driver: HostDriver, piece: Piece, refusal: str) -> None:
    if refusal == "end_capture":
        driver.failing.add("end_capture")
    elif refusal == "not capturable":
        piece.capturable = False


def test_on_raises_where_there_can_be_no_graph(driver: HostDriver) -> None:
    cache = cache_of(driver, "on")
    piece = add(cache, driver, 8)
    cache.run(key(8))
    piece.capturable = False
    with pytest.raises(EngineError, match=r"cannot be captured; take graph='auto' or 'off'"):
        cache.run(key(8))


def test_a_capture_that_goes_wrong_is_ended_before_anything_else(driver: HostDriver) -> None:
    cache = cache_of(driver, "on")
    piece = add(cache, driver, 8)
    cache.run(key(8))
    driver.failing.add("job")
    driver.calls.clear()
    with pytest.raises(EngineError, match="capturing failed"):
        cache.run(key(8))
    assert driver.calls[:3] == ["begin_capture", "job", "abandon_capture"]
    assert piece.closed


def test_an_unknown_mode_names_the_known_ones(driver: HostDriver) -> None:
    with pytest.raises(OptionError, match="auto, on, off"):
        cache_of(driver, "always")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        Key("loop", 64, 8, 1, 1, "b", "float16"),
        Key("loop", 72, 8, 1, 1, "a", "float16"),
        Key("loop", 64, 8, 2, 1, "a", "float16"),
        Key("loop", 64, 8, 1, 2, "a", "float16"),
        Key("loop", 64, 8, 1, 1, "a", "float32"),
        Key("loop", 64, 8, 1, 1, "a", "float16", ("std",)),
    ],
)
def test_size_batch_samples_table_precision_and_extras_tell_graphs_apart(
    driver: HostDriver, other: Key
) -> None:
    cache = cache_of(driver)
    first = add(cache, driver, 8)
    assert cache.obtain(other, Needs(KIB, 0), lambda: Piece(driver)) is not first
