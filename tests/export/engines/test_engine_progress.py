from __future__ import annotations

import io
import time

import pytest

from export.engines.progress import Progress


def test_the_line_names_phase_step_and_time_and_claims_no_end() -> None:
    progress = Progress("step", io.StringIO())
    progress.start("Building engine", None, 6)
    progress.step("Building engine", 2)
    progress.start("Timing tactics", "Building engine", 8)
    line = progress.line()
    assert line == "step 0:00 [######......] step 1 of 8, cannot be predicted: timing tactics"


def test_a_finished_phase_is_gone_from_the_line() -> None:
    progress = Progress("step", io.StringIO())
    progress.start("Building engine", None, 6)
    progress.start("Timing tactics", "Building engine", 8)
    progress.finish("Timing tactics")
    assert "timing tactics" not in progress.line()


def test_a_quick_build_writes_nothing_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    progress = Progress("step", stream)
    for step in range(100):
        progress.start("a", None, 1)
        progress.step("a", step)
        progress.finish("a")
    progress.close()
    assert stream.getvalue() == ""


def test_on_a_terminal_one_line_is_redrawn_and_wiped_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    progress = Progress("step", stream)
    time.sleep(0.12)
    progress.start("Building engine", None, 6)
    progress.close()
    drawn = stream.getvalue().split("\r\x1b[K")
    assert [len(text) for text in drawn] == [0, 39, 0]
    assert "\n" not in stream.getvalue()
