"""Run the camera pipeline for as many frames as an hour has, and prove that it does not grow.

    python scripts/soak_camera.py                   108,000 frames: an hour of 30 frames a second
    python scripts/soak_camera.py --frames 10000

The frames are small and the engine is light, so that an hour's worth takes minutes; what is soaked
is everything around the engine. On the way the source vanishes and comes back, the size changes,
plans are measured for a budget, and an output file is written. Ends with exit code 1 where memory,
threads or open files grew, or where a frame was lost.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

# The repository need not be installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from runtime.camera import CameraConfig, CameraPipeline, Frame, Reading, SourceLostError
from runtime.camera.sinks import open_sink

HOUR = 108_000
WARM_UP = 0.1
ALLOWED_MIB = 8.0
VANISHES_AFTER = 30_000
RESIZED_AFTER = 5_000


@dataclass(frozen=True)
class State:
    """What the process holds."""

    resident_mib: float
    threads: int
    files: int


def state() -> State:
    """What the process holds now, as Linux tells it."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    mib = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return State(mib, threading.active_count(), len(list(Path("/proc/self/fd").iterdir())))


class TestPictures:
    """Frames of noise and two sizes; it vanishes every so often, and each opening goes on."""

    name = "test pictures"
    live = True
    fps = 30.0

    def __init__(self, counter: list[int], frames: int) -> None:
        self._counter = counter
        self._frames = frames
        self._noise = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8)

    def read(self) -> Reading | None:
        number = self._counter[0]
        self._counter[0] += 1
        if number >= self._frames:
            return None
        if number % VANISHES_AFTER == VANISHES_AFTER - 1:
            raise SourceLostError("the test pictures vanished, as planned")
        image = self._noise[number % 2]
        return Reading(image[:40] if number // RESIZED_AFTER % 2 else image)

    def close(self) -> None:
        """Nothing is held open."""


def soak(frames: int, engine: str, folder: Path) -> list[str]:
    """Run ``frames`` frames; returns what is wrong, nothing where all is well."""
    counter = [0]
    video = open_sink(folder / "soak.avi", 30.0, keep_time=False)
    states: list[State] = []
    report_at = max(1, frames // 20)

    def watch(frame: Frame) -> None:
        video.write(frame)
        if frame.index % report_at == 0:
            states.append(state())
            print(f"{frame.index:>8} frames  {states[-1]}", flush=True)

    config = CameraConfig(engine=engine, preset="realtime", policy="block", budget_ms=1000.0)
    source = partial(TestPictures, counter, frames)
    summary = CameraPipeline(source, watch, config=config, say=print).run()
    video.close()
    print(f"{summary.frames_out} frames in {summary.seconds:.0f} s; {summary}")
    vanished = frames // VANISHES_AFTER
    problems = _growth(states[int(WARM_UP * len(states)) + 1 :])
    # The frame that the budget measures on is not one of the run.
    if summary.frames_out != frames - vanished - 1 or summary.reconnections != vanished:
        problems.append(f"{summary.frames_out} frames came out, {summary.reconnections} openings")
    return problems


def _growth(states: list[State]) -> list[str]:
    """What the last quarter holds at the least, against what the first quarter held at the most."""
    quarter = len(states) // 4
    if quarter == 0:
        return ["too few frames to tell; run more"]
    problems = []
    for name, allowed in (("resident_mib", ALLOWED_MIB), ("threads", 0), ("files", 0)):
        before = max(getattr(each, name) for each in states[:quarter])
        after = min(getattr(each, name) for each in states[-quarter:])
        if after - before > allowed:
            problems.append(f"{name} grew from {before} to {after}")
    return problems


def main() -> int:
    """Run the soak; 0 where nothing grew and nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=HOUR)
    parser.add_argument("--engine", default="fake", help="default: fake")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        problems = soak(arguments.frames, arguments.engine, Path(folder))
    print("\n".join(problems) or "nothing grew, nothing was lost")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
