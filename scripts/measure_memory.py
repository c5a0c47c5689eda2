"""Deblur photographs of many megapixels within a stated memory, and measure what it took.

    python scripts/measure_memory.py                              the result goes to the screen
    python scripts/measure_memory.py -o benchmarks/memory-cpu.json

Each case runs in a process of its own. What a call may take is counted from what the process holds
before it: session, engine and picture. The peak is the kernel's own count, VmHWM. Linux only. Ends
with exit code 1 where a call took more than it was given.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

# The repository need not be installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from runtime.bench.machine import Machine, Software, describe_machine, describe_software
from runtime.bench.pictures import make_pictures
from runtime.files import to_json, write_whole
from runtime.session import Session

# The side of the picture that the large ones are laid out with.
_PIECE_PX = 500


class Case(msgspec.Struct, frozen=True):
    """One call; ``width_px`` and ``height_px`` are multiples of 500."""

    width_px: int
    height_px: int
    steps: int
    samples: int
    std: bool
    memory_mib: int


class Taken(msgspec.Struct, frozen=True):
    """A case and what it took: ``held_mib`` before the call, ``taken_mib`` at most beyond that."""

    case: Case
    engine: str
    bundle: str
    held_mib: float
    taken_mib: float
    seconds: float


class Result(msgspec.Struct, frozen=True):
    """All cases and their circumstances."""

    software: Software
    machine: Machine
    taken: tuple[Taken, ...]


CASES = (
    Case(4000, 3000, steps=2, samples=1, std=False, memory_mib=2048),
    Case(4000, 3000, steps=2, samples=2, std=True, memory_mib=2560),
    Case(8000, 6000, steps=2, samples=1, std=False, memory_mib=7168),
)


def main() -> int:
    """Run every case, or with ``--one`` a single one in this process."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, help="a JSON file; default: the screen")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        case = msgspec.json.decode(arguments.one, type=Case)
        print(msgspec.json.encode(measure(case)).decode())
        return 0
    result = Result(describe_software(), describe_machine(), tuple(map(apart, CASES)))
    if arguments.output:
        write_whole(arguments.output, to_json(result))
    else:
        print(to_json(result).decode())
    return int(any(taken.taken_mib > taken.case.memory_mib for taken in result.taken))


def apart(case: Case) -> Taken:
    """``case`` in a process of its own."""
    command = [sys.executable, __file__, "--one", msgspec.json.encode(case).decode()]
    done = subprocess.run(  # noqa: S603  this file and its own case
        command, capture_output=True, text=True, check=True
    )
    taken = msgspec.json.decode(done.stdout, type=Taken)
    megapixels = case.width_px * case.height_px / 1e6
    print(
        f"{megapixels:.0f} megapixels, {case.steps} x {case.samples}: {taken.taken_mib:.0f} of "
        f"{case.memory_mib} MiB, {taken.seconds:.0f} s",
        file=sys.stderr,
    )
    return taken


def measure(case: Case) -> Taken:
    """``case`` in this process."""
    with Session(memory_mib=case.memory_mib) as session:
        image = picture(case)
        # From here on the peak is this call's.
        Path("/proc/self/clear_refs").write_text("5")
        held = memory_mib("VmRSS")
        began = time.perf_counter()
        session.deblur(
            image, preset="balanced", steps=case.steps, samples=case.samples, return_std=case.std
        )
        return Taken(
            case=case,
            engine=session.engine,
            bundle=session.bundle.manifest.name,
            held_mib=round(held, 1),
            taken_mib=round(memory_mib("VmHWM") - held, 1),
            seconds=round(time.perf_counter() - began, 1),
        )


def picture(case: Case) -> NDArray[np.uint8]:
    """A picture of that size, uint8 RGB (H, W, 3)."""
    piece = make_pictures(1, _PIECE_PX, _PIECE_PX)
    return np.tile(piece, (case.height_px // _PIECE_PX, case.width_px // _PIECE_PX, 1))


def memory_mib(field: str) -> float:
    """``field`` of /proc/self/status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


if __name__ == "__main__":
    raise SystemExit(main())
