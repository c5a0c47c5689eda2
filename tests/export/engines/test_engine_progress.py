from __future__ import annotations

import io

from export.engines.progress import Progress


def test_the_line_names_phase_step_and_time_and_claims_no_end() -> None:
    progress = Progress("step", io.StringIO())
    progress.start("Building engine", None, 6)
    progress.step("Building engine", 2)
    progress.start("Timing tactics", "Building engine", 8)
    line = progress.line()
    assert "[############............]" in line
    assert "0:00 timing tactics, step 1 of 8" in line
    assert "cannot be predicted" in line


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
