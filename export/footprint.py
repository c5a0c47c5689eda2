"""How much memory a bundle's engine works with for each pixel, measured, not estimated.

``python -m export.footprint BUNDLE SIDE_PX`` runs both graphs once on a square picture in a process
of its own and prints the highest resident memory, in bytes (Linux only). The slope over two sizes
is what a pixel costs; the intercept (interpreter, libraries, weights) cancels out.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from runtime.bundle import open_bundle
from runtime.engines import open_engine
from runtime.errors import EngineError
from runtime.samplers import COLUMNS

SIDES_PX = (128, 384)


def working_bytes_per_px(bundle: Path, sides_px: tuple[int, int] = SIDES_PX) -> int:
    """Bytes of a pixel on the onnx-cpu engine; raises EngineError where a measurement fails."""
    small, large = (_peak_bytes(bundle, side) for side in sides_px)
    return max(1, (large - small) // (sides_px[1] ** 2 - sides_px[0] ** 2))


def _peak_bytes(bundle: Path, side_px: int) -> int:
    done = subprocess.run(  # noqa: S603 (our own module, no shell)
        [sys.executable, "-m", "export.footprint", str(bundle), str(side_px)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise EngineError(f"measuring the memory of {bundle} failed: {done.stderr.strip()}")
    return int(done.stdout)


def main() -> int:
    """Run both graphs once and print the peak; returns the exit code."""
    bundle, side = open_bundle(sys.argv[1]), int(sys.argv[2])
    engine = open_engine("onnx-cpu", bundle)
    picture = np.zeros((1, 3, side, side), np.float32)
    engine.predict(picture)
    engine.step(picture, picture, picture, picture, np.zeros(len(COLUMNS), np.float32))
    print(_high_water_bytes())
    return 0


def _high_water_bytes() -> int:
    """Highest resident memory of this process; getrusage would count the parent's before exec."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise EngineError("/proc/self/status has no VmHWM line; export on Linux")


if __name__ == "__main__":
    raise SystemExit(main())
