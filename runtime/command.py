"""What all command lines share: an error is one line and exit code 2, never a traceback."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from runtime.errors import DvsrError

FAILED = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count
READER_LEFT = 141  # 128 + SIGPIPE


class Parser(argparse.ArgumentParser):
    """argparse, with errors of one line as everywhere else."""

    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"{self.prog}: {message}; see --help\n")


def run_command(program: str, work: Callable[[], int | None]) -> int:
    """Run ``work`` and return the exit code: its own, 0 for None, 2 for a DvsrError.

    The error's message goes to standard error, folded into one line behind ``program``.
    """
    try:
        return work() or 0
    except DvsrError as error:
        print(f"{program}: {' '.join(str(error).split())}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # As `| head` does. What Python still holds back would fail once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
