"""``python -m runtime.bench.fresh``: the first picture of a fresh interpreter, and its memory.

The parent passes the moment it started this program; nothing but the standard library is imported
before the clock is read.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

STARTED = time.time()


def first_picture(request: dict[str, Any], launched: float) -> dict[str, float | None]:
    """Import, open, deblur once; milliseconds of each, and the highest resident memory in MiB.

    ``request`` holds the keyword arguments of Session under "open" and of deblur under "call", and
    "batch", "height_px" and "width_px".
    """
    marks = [time.perf_counter()]
    from runtime.bench.pictures import make_pictures
    from runtime.session import Session

    marks.append(time.perf_counter())
    picture = make_pictures(*(request[name] for name in ("batch", "height_px", "width_px")))
    # The picture is the caller's: drawing it is none of the package's time.
    drawn = time.perf_counter() - marks[-1]
    session = Session(**request["open"])
    marks.append(time.perf_counter() - drawn)
    session.deblur(picture, **request["call"])
    marks.append(time.perf_counter() - drawn)
    session.close()
    started_ms = 1000.0 * (STARTED - launched)
    imported, opened, first = (1000.0 * (after - before) for before, after in pairwise(marks))
    return {
        "start_ms": started_ms,
        "import_ms": imported,
        "open_ms": opened,
        "first_ms": first,
        "total_ms": started_ms + imported + opened + first,
        "host_peak_mib": high_water_mib(),
    }


def high_water_mib() -> float | None:
    """Highest resident memory of this process; getrusage would count the parent's before exec."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024.0
    return None


def main() -> int:
    """Answer the request on the command line as one line of JSON; returns the exit code."""
    from runtime.command import run_command

    request = json.loads(sys.argv[1])
    return run_command(
        "python -m runtime.bench.fresh",
        lambda: print(json.dumps(first_picture(request, float(sys.argv[2])))),
    )


if __name__ == "__main__":
    raise SystemExit(main())
