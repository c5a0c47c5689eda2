"""What all command lines share."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtime.command import FAILED, INTERRUPTED, READER_LEFT, run_command
from runtime.errors import OptionError


def test_an_error_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OptionError("got this;\n  wanted is that")

    assert run_command("program", fail) == FAILED == 2
    assert capsys.readouterr().err == "program: got this; wanted is that\n"


def test_an_exit_code_of_its_own_is_kept() -> None:
    assert run_command("program", lambda: 1) == 1


def test_no_exit_code_is_success() -> None:
    assert run_command("program", lambda: None) == 0


def test_an_interrupt_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    assert run_command("program", stop) == INTERRUPTED
    assert capsys.readouterr().err == "program: interrupted\n"


def test_a_reader_that_leaves_causes_no_traceback() -> None:
    code = """
from runtime.command import run_command
raise SystemExit(run_command("program", lambda: print("line\\n" * 100_000)))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.readline()
        program.stdout.close()
        assert program.stderr.read() == b""
    assert program.returncode == READER_LEFT
