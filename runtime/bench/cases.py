"""What is measured: the matrix of engines, bundles, sizes, steps, samples and batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Literal

import msgspec

from runtime.errors import OptionError

Kind = Literal["engine", "peer"]


class Work(msgspec.Struct, frozen=True):
    """One picture job: size in pixels, diffusion steps, samples averaged, pictures in a call."""

    width_px: int
    height_px: int
    steps: int
    samples: int
    batch: int

    @property
    def megapixels(self) -> float:
        """Of one call: all pictures of the batch."""
        return self.batch * self.width_px * self.height_px / 1e6

    def __str__(self) -> str:
        """For people: ``640x360, 10 steps`` and what else is not 1."""
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        parts = [f"{self.width_px}x{self.height_px}", steps]
        parts += [f"{self.samples} samples"] if self.samples != 1 else []
        parts += [f"batch {self.batch}"] if self.batch != 1 else []
        return ", ".join(parts)


class Case(msgspec.Struct, frozen=True):
    """One thing compared: who does which work with which artefact.

    ``subject`` is an engine's or peer's name; ``bundle`` the manifest's name, ``build`` the
    directory's, which tells two builds of one bundle apart; ``bundle_sha256`` is the manifest's.
    """

    subject: str
    kind: Kind
    bundle: str
    build: str
    bundle_sha256: str
    precision: str
    work: Work
    preset: str
    seed: int = 0
    graph: str = "auto"
    memory_mib: int | None = None

    @property
    def label(self) -> str:
        """Short name in tables: subject, and the bundle's directory."""
        return f"{self.subject} ({self.build}, {self.precision})"


class Plan(msgspec.Struct, frozen=True):
    """How long each case is measured; a case ends when both ``runs`` and ``seconds`` are reached.

    Warming up lasts until the medians of two windows of ``warm_window`` calls differ by less than
    ``warm_tolerance``, at most ``warm_seconds``. A round gives each case in turn a block of calls
    that lasts ``block_seconds`` or one call, after a pause of ``settle_seconds`` in which the
    threads of the one before go to sleep. ``idle_runs`` calls come after ``idle_seconds`` of
    nothing; ``cold_runs`` fresh interpreters are started; ``floor_rounds`` rounds also time the
    bare engine calls.
    """

    runs: int = 20
    seconds: float = 5.0
    warm_window: int = 3
    warm_tolerance: float = 0.05
    warm_seconds: float = 30.0
    block_seconds: float = 0.3
    settle_seconds: float = 0.05
    idle_runs: int = 3
    idle_seconds: float = 2.0
    cold_runs: int = 3
    floor_rounds: int = 5
    fps: tuple[float, ...] = (30.0, 60.0)


def parse_size(text: str) -> tuple[int, int]:
    """``1280x720`` to (width, height) in pixels; raises OptionError."""
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()) or 0 in (int(width), int(height)):
        raise OptionError(f"got size '{text}'; wanted is WIDTHxHEIGHT in pixels, such as 1280x720")
    return int(width), int(height)


def check_plan(plan: Plan) -> Plan:
    """``plan`` itself where its numbers can be; raises OptionError."""
    if plan.runs < 1:
        raise OptionError(f"got --runs {plan.runs}; wanted is at least 1")
    if plan.seconds < 0 or plan.idle_seconds < 0:
        raise OptionError("got a negative number of seconds; wanted is 0 or more")
    if min(plan.idle_runs, plan.cold_runs, plan.floor_rounds) < 0:
        raise OptionError("got a negative number of runs; wanted is 0 or more")
    if any(fps <= 0 for fps in plan.fps):
        raise OptionError(f"got frame rates {plan.fps}; wanted are numbers above 0")
    return plan


def matrix(
    sizes: Sequence[tuple[int, int]],
    steps: Sequence[int],
    samples: Sequence[int],
    batches: Sequence[int],
) -> Iterator[Work]:
    """Every combination, small pictures first; raises OptionError for counts that cannot be."""
    for name, values, least in (
        ("steps", steps, 0),
        ("samples", samples, 1),
        ("batch", batches, 1),
    ):
        for value in values:
            if value < least:
                raise OptionError(f"got --{name} {value}; wanted is at least {least}")
    ordered = sorted(dict.fromkeys(sizes), key=lambda size: size[0] * size[1])
    for (width, height), count, drawn, batch in product(ordered, steps, samples, batches):
        # Without steps nothing is drawn, so the predictor alone is measured once.
        if count > 0 or drawn == min(samples):
            yield Work(width, height, count, drawn if count else 1, batch)
