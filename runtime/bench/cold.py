"""Cold start: fresh interpreters, one after the other, each for one picture."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from runtime.bench.cases import Case
from runtime.bench.rows import Cold
from runtime.errors import EngineError

_ROOT = Path(__file__).resolve().parents[2]
_TIMES = ("start_ms", "import_ms", "open_ms", "first_ms", "total_ms")


def measure_cold(
    case: Case, bundle: Path, options: dict[str, Any], runs: int
) -> tuple[Cold | None, float | None]:
    """Medians of ``runs`` cold starts, and the highest resident memory in MiB among them.

    ``options`` are what the session is opened with beside the bundle. Raises EngineError where a
    start fails.
    """
    if runs < 1:
        return None, None
    answers = [_start(case, bundle, options) for _ in range(runs)]
    medians = {
        name: round(float(np.median([answer[name] for answer in answers])), 2) for name in _TIMES
    }
    peaks = [answer["host_peak_mib"] for answer in answers if answer["host_peak_mib"] is not None]
    return Cold(runs, **medians), round(max(peaks), 1) if peaks else None


def _start(case: Case, bundle: Path, options: dict[str, Any]) -> dict[str, float]:
    work = case.work
    request = {
        "open": {"bundle": str(bundle.resolve()), **options},
        "call": {
            "steps": work.steps,
            "samples": work.samples,
            "seed": case.seed,
            "preset": case.preset,
        },
        "batch": work.batch,
        "height_px": work.height_px,
        "width_px": work.width_px,
    }
    command = [sys.executable, "-m", "runtime.bench.fresh", json.dumps(request), repr(time.time())]
    done = subprocess.run(  # noqa: S603 (our own module, no shell)
        command, capture_output=True, text=True, check=False, cwd=_ROOT
    )
    if done.returncode != 0:
        raise EngineError(f"a cold start of {case.label} failed: {done.stderr.strip()[-500:]}")
    answer: dict[str, float] = json.loads(done.stdout)
    return answer
