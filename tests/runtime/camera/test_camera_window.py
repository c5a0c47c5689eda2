"""The window on a real X server without a screen, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from light_session import numbered

pytestmark = pytest.mark.skipif(
    shutil.which("Xvfb") is None, reason="Xvfb is not installed (Debian: xvfb)"
)


@pytest.fixture
def display() -> Iterator[str]:
    """The name of a virtual screen."""
    ours, theirs = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(theirs), "-screen", "0", "640x480x24"],
        pass_fds=(theirs,),
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    with os.fdopen(ours) as f:
        number = f.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait(20)


def test_frames_are_shown_in_a_window(tmp_path: Path, display: str) -> None:
    for number, picture in enumerate(numbered(5, 24, 32)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    done = subprocess.run(
        [sys.executable, "-m", "runtime.camera", str(tmp_path), "-o", "window", "--engine", "fake"],
        env={**os.environ, "DISPLAY": display},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "-> window: in 5, out 5, dropped 0" in done.stdout
