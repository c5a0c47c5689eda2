"""Both command lines, each in a folder of its own that holds the same files."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from runtime.__main__ import PROGRAM, main

# How long something took is the one thing that may differ; C++ does not tell conversions apart.
_TIMES = re.compile(r"[\d.]+ s(?=[,)])|(?:(?:up|down)load [\d.]+, )|(?<=[a-z] )[\d.]+(?=,|$)")


@dataclass(frozen=True)
class Answer:
    """Exit code and what was printed, without times and without the program's name."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class BothTools:
    """``native`` and ``python`` are the folders that paths in arguments are relative to."""

    tool: Path
    native: Path
    python: Path

    def ask(self, *arguments: object) -> tuple[Answer, Answer]:
        """What dvsr-deblur and ``python -m runtime`` answer."""
        return self.ask_native(*arguments), self.ask_python(*arguments)

    def ask_native(self, *arguments: object) -> Answer:
        words = [str(self.tool), *map(str, arguments)]
        done = subprocess.run(
            words, cwd=self.native, capture_output=True, text=True, check=False, timeout=120
        )
        return _answer(done.returncode, done.stdout, done.stderr)

    def ask_python(self, *arguments: object) -> Answer:
        """In this process, because Python takes a second to begin."""
        out, err = StringIO(), StringIO()
        with _working_in(self.python), redirect_stdout(out), redirect_stderr(err):
            try:
                code = main([str(argument) for argument in arguments])
            except SystemExit as left:  # as argparse does
                code = int(left.code or 0)
        return _answer(code, out.getvalue(), err.getvalue())


def files_in(folder: Path) -> list[str]:
    """All files below ``folder``, relative to it, sorted."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def _answer(code: int, out: str, err: str) -> Answer:
    lines = (
        re.sub(f"^({re.escape(PROGRAM)}|dvsr-deblur): ", "", line) for line in err.splitlines()
    )
    return Answer(code, _TIMES.sub("", out), "\n".join(lines))


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
