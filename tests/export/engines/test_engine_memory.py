from __future__ import annotations

import pytest

from export.engines.memory import ladder, largest, read_memory
from runtime.bundle import Graph, Tensor
from runtime.errors import EngineError
from runtime.plans.shapes import Profile, Size, SizeRange

GRAPH = Graph("predictor.onnx", (Tensor("y", "float32", ("batch", 3, "h", "w")),), ())
PROFILE = Profile((1, 3, 8, 8), (1, 3, 8, 8), (1, 3, 16, 16))
SAID = ("Total Device Persistent Memory: 5 bytes", "Total Weights Memory: 70 bytes")
RUNGS = ladder(SizeRange(Size(8, 8), Size(8, 8), Size(1920, 1088)), 8)


def test_each_profile_has_the_scratch_memory_that_the_builder_stated_for_it() -> None:
    log = ("Total Activation Memory: 100 bytes", "Total Activation Memory: 300 bytes", *SAID)
    memory = read_memory(log, (PROFILE, PROFILE), GRAPH, None)
    assert memory.scratch == (100, 300)
    assert memory.needed(1) == 300 + 4 * 3 * 16 * 16 + 70 + 5


def test_one_statement_stands_for_all_profiles() -> None:
    log = ("Total Activation Memory: 100 bytes", *SAID)
    assert read_memory(log, (PROFILE, PROFILE), GRAPH, None).scratch == (100, 100)


def test_what_the_finished_engine_says_goes_before_the_log() -> None:
    log = ("Total Activation Memory: 100 bytes",)
    assert read_memory(log, (PROFILE,), GRAPH, (120,)).scratch == (120,)


def test_a_builder_that_states_nothing_is_refused() -> None:
    with pytest.raises(EngineError, match="scratch memory"):
        read_memory(SAID, (PROFILE,), GRAPH, None)


def test_the_ladder_keeps_the_shape_and_the_size_rule() -> None:
    assert RUNGS[-1] == Size(1920, 1088)
    assert all(size.width_px % 8 == size.height_px % 8 == 0 for size in RUNGS)
    assert all(abs(size.width_px / size.height_px - 1920 / 1088) < 0.15 for size in RUNGS[20:])


@pytest.mark.parametrize("limit", [10**6, 10**7, 10**8, 4 * 10**8])
def test_the_largest_size_fits_and_the_next_one_does_not(limit: int) -> None:
    measured = []

    def needed(size: Size) -> int:
        measured.append(size)
        return 250 * size.pixels + 300_000

    found = largest(RUNGS, needed, needed(RUNGS[-1]), limit)
    assert found is not None
    assert needed(found) <= limit < needed(RUNGS[RUNGS.index(found) + 1])


def test_the_search_for_the_largest_size_builds_only_a_few() -> None:
    measured = []

    def needed(size: Size) -> int:
        measured.append(size)
        return 250 * size.pixels + 300_000

    largest(RUNGS, needed, 250 * RUNGS[-1].pixels + 300_000, 10**8)
    assert len(measured) <= 4


def test_the_search_ends_soon_where_memory_is_not_in_proportion() -> None:
    measured = []

    def needed(size: Size) -> int:
        measured.append(size)
        return 10**7 + 10**6 * int(size.pixels**0.3)

    found = largest(RUNGS, needed, needed(RUNGS[-1]), 5 * 10**7)
    assert found is not None
    assert len(measured) <= 12


def test_where_no_size_fits_there_is_none() -> None:
    assert largest(RUNGS, lambda _: 10**9, 10**9, 10**6) is None
