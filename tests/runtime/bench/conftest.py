"""One small real benchmark that several tests read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.bench.__main__ import main
from runtime.bench.rows import Row, read_rows

# As little as gives rounds, floors, idle calls and a line over three sizes.
QUICK = [
    *("--runs", "3", "--seconds", "0", "--warm-up", "0"),
    *("--idle", "0", "--idle-runs", "1", "--cold-runs", "0"),
]


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory, photograph: NDArray[np.uint8]) -> Path:
    """A folder of two small pairs, blurred by a box."""
    folder = tmp_path_factory.mktemp("pairs")
    for kind in ("blur", "sharp"):
        (folder / kind).mkdir()
    for index, left in enumerate((150, 220)):
        sharp = np.ascontiguousarray(photograph[100:132, left : left + 32, ::-1])
        cv2.imwrite(str(folder / "sharp" / f"{index}.png"), sharp)
        cv2.imwrite(str(folder / "blur" / f"{index}.png"), cv2.blur(sharp, (5, 5)))
    return folder


@pytest.fixture(scope="session")
def bench_arguments(pairs: Path) -> Callable[[Path], list[str]]:
    """The command line of the small benchmark, for a result file."""

    def arguments(out: Path) -> list[str]:
        return [
            *("--engines", "onnx-cpu", "--peers", "onnx-plain"),
            *("--sizes", "48x48", "32x32", "64x64", "--steps", "0", "2"),
            *("--data", str(pairs), "--pictures", "1", "--out", str(out), *QUICK),
        ]

    return arguments


@pytest.fixture(scope="session")
def results(
    tmp_path_factory: pytest.TempPathFactory, bench_arguments: Callable[[Path], list[str]]
) -> Path:
    """The result file of the small benchmark; do not change it, copy it."""
    out = tmp_path_factory.mktemp("bench") / "results.jsonl"
    assert main(bench_arguments(out)) == 0
    return out


@pytest.fixture(scope="session")
def rows(results: Path) -> list[Row]:
    """The rows of :func:`results`."""
    return read_rows(results)
