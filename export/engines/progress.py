"""A build's progress: what the builder reports, the time that passed, and no invented end."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from typing import Protocol, TextIO

_REDRAW_S = 0.1
_REPORT_S = 30.0
_BAR = 12


class View(Protocol):
    """Told by the builder, from its own threads: phases nest, each with a number of steps."""

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase begins inside ``parent``."""

    def step(self, phase: str, step: int) -> None:
        """Step ``step`` of ``phase`` is done, counted from 0."""

    def finish(self, phase: str) -> None:
        """A phase ended."""


@dataclass
class _Phase:
    name: str
    steps: int
    done: int = 0


class Progress:
    """One line that is redrawn on a terminal; elsewhere a new line every half a minute.

    The builder says how many steps a phase has, not how long they take: a step that times kernels
    may take a second or ten minutes. So the line shows steps and elapsed time, never an estimate.
    """

    def __init__(self, label: str, stream: TextIO | None = None) -> None:
        self._label = label
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._began = self._drawn = time.monotonic()
        self._phases: list[_Phase] = []

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        self._phases.append(_Phase(phase, steps))
        self._draw()

    def step(self, phase: str, step: int) -> None:
        for open_phase in self._phases:
            if open_phase.name == phase:
                open_phase.done = step + 1
        self._draw()

    def finish(self, phase: str) -> None:
        self._phases = [open_phase for open_phase in self._phases if open_phase.name != phase]
        self._draw()

    def close(self) -> None:
        """Wipe the line."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def line(self) -> str:
        """The state now: outermost phase as a bar, innermost by steps and name, elapsed time."""
        elapsed = int(time.monotonic() - self._began)
        clock = f"{elapsed // 60}:{elapsed % 60:02d}"
        if not self._phases:
            return f"{self._label} {clock}"
        outer, inner = self._phases[0], self._phases[-1]
        filled = _BAR * outer.done // max(outer.steps, 1)
        bar = "#" * filled + "." * (_BAR - filled)
        return (
            f"{self._label} {clock} [{bar}] step {min(inner.done + 1, inner.steps)} of "
            f"{inner.steps}, cannot be predicted: {inner.name.lower()}"
        )

    def _draw(self) -> None:
        now = time.monotonic()
        if now - self._drawn < (_REDRAW_S if self._live else _REPORT_S):
            return
        self._drawn = now
        # A line longer than the terminal would wrap, and each redraw would leave half of it.
        width = shutil.get_terminal_size().columns - 1
        text = f"\r\x1b[K{self.line()[:width]}" if self._live else f"{self.line()}\n"
        self._stream.write(text)
        self._stream.flush()
