"""How much GPU memory an engine takes, from the builder's own report."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from export.engines.plan import MIB
from runtime.bundle import Graph
from runtime.errors import EngineError
from runtime.plans.card import Memory
from runtime.plans.shapes import Profile, Size, SizeRange, bound_bytes


def read_memory(
    log: Sequence[str],
    profiles: Sequence[Profile],
    graph: Graph,
    read_back: tuple[int, ...] | None,
) -> Memory:
    """The builder's report in ``log``; raises EngineError where it states no scratch memory.

    The builder writes one "Total Activation Memory" for each profile, or one for all of them.
    ``read_back`` is what the finished engine says, where a GPU could ask it.
    """
    stated = _numbers(log, "Total Activation Memory")
    if len(stated) != len(profiles):
        stated = [max(stated)] * len(profiles) if stated else []
    scratch = read_back or tuple(stated)
    if not scratch:
        raise EngineError(
            "the builder did not state the engine's scratch memory; this version of the library "
            "is not one that this toolkit knows: report it with the library's version"
        )
    return Memory(
        scratch=tuple(scratch),
        bound=tuple(bound_bytes(graph, profile.max) for profile in profiles),
        weights=max(_numbers(log, "Total Weights Memory"), default=0),
        persistent=max(_numbers(log, "Total Device Persistent Memory"), default=0),
    )


def _numbers(log: Sequence[str], title: str) -> list[int]:
    pattern = re.compile(rf"{title}: (\d+) bytes")
    return [int(found[1]) for line in log for found in [pattern.search(line)] if found]


def ladder(sizes: SizeRange, multiple_px: int) -> list[Size]:
    """Sizes of the same shape as ``sizes.max``, smallest first, that obey the size rule."""
    top = sizes.max
    rungs = set()
    for columns in range(1, top.width_px // multiple_px + 1):
        width = columns * multiple_px
        rows = width * top.height_px // (top.width_px * multiple_px)
        rungs.add(Size(width, max(rows, 1) * multiple_px))
    return sorted(rungs)


def largest(
    rungs: Sequence[Size],
    needed: Callable[[Size], int],
    top_bytes: int,
    limit_bytes: int,
) -> Size | None:
    """The largest of ``rungs`` (smallest first) that needs at most ``limit_bytes``, or None.

    ``needed`` measures a size and is dear; ``top_bytes`` is what the last rung needs, more than
    the limit. Memory grows with the pixels nearly in proportion, so that a guess is mostly right
    at once; where it is not, the interval is halved.
    """
    low, low_bytes = -1, 0  # known to fit, or no rung at all
    high, high_bytes = len(rungs) - 1, top_bytes  # known not to fit
    halve = False
    while high - low > 1:
        width = high - low
        base = rungs[low].pixels if low >= 0 else 0
        share = (limit_bytes - low_bytes) / max(high_bytes - low_bytes, 1)
        pixels = base + share * (rungs[high].pixels - base)
        guess = max((k for k in range(low + 1, high) if rungs[k].pixels <= pixels), default=low + 1)
        guess = (low + high) // 2 if halve else guess
        measured = needed(rungs[guess])
        if measured <= limit_bytes:
            low, low_bytes = guess, measured
        else:
            high, high_bytes = guess, measured
        halve = not halve and high - low > max(width // 2, 2)
    return rungs[low] if low >= 0 else None


def describe_bytes(count: int) -> str:
    """A count of bytes for people."""
    return f"{count / MIB:.0f} MiB" if count >= 10 * MIB else f"{count / MIB:.1f} MiB"
