"""dvsr-deblur makes the pictures that ``python -m runtime`` makes, and measures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from agreement import check_same
from both_tools import BothTools
from numpy.typing import NDArray

from runtime.images import read_image

Image = NDArray[np.uint8]


@pytest.fixture
def both(tool: Path, tmp_path: Path, photograph: Image) -> BothTools:
    """One folder for both, with a picture in it."""
    cv2.imwrite(str(tmp_path / "blurred.png"), cv2.blur(photograph[:40, :56, ::-1], (3, 3)))
    return BothTools(tool, tmp_path, tmp_path)


def test_pictures_and_views_are_those_of_python(both: BothTools, small_bundle: Path) -> None:
    options = ("--preset", "realtime", "--samples", 3, "--seed", 5, "--compare", "--std")
    said = {
        side: ask("blurred.png", "-o", f"{side}.png", "--bundle", small_bundle, *options)
        for side, ask in (("native", both.ask_native), ("python", both.ask_python))
    }
    assert (said["native"].code, said["native"].err) == (0, "")
    assert said["native"].out.replace("native", "python") == said["python"].out
    # A grey level decides which of the heat map's colours is nearest.
    for suffix, levels in ((".png", 1), (".compare.png", 1), (".std.png", 6)):
        native, python = (read_image(both.native / f"{side}{suffix}").astype(int) for side in said)
        np.testing.assert_allclose(native, python, atol=levels)


# Each against what the preset says; engine fake would be indifferent to turns.
@pytest.mark.parametrize(
    ("preset", "flag"), [("realtime", "--self-ensemble"), ("distortion", "--no-self-ensemble")]
)
def test_a_flag_decides_for_both_whether_samples_are_drawn_turned(
    both: BothTools, small_bundle: Path, preset: str, flag: str
) -> None:
    options = ("--bundle", small_bundle, "--preset", preset, "--samples", 3)
    native, python = (
        ask("blurred.png", "-o", f"{side}.png", *options, flag)
        for side, ask in (("native", both.ask_native), ("python", both.ask_python))
    )
    assert (native.code, native.err, python.code) == (0, "", 0)
    check_same(*(read_image(both.native / f"{side}.png") for side in ("native", "python")))


def test_grayscale_and_alpha_come_out_as_they_went_in(
    both: BothTools, photograph: Image, small_bundle: Path
) -> None:
    cv2.imwrite(str(both.native / "gray.png"), photograph[:9, :9, 0])
    clear = cv2.cvtColor(photograph[:9, :9], cv2.COLOR_RGB2BGRA)
    cv2.imwrite(str(both.native / "clear.png"), clear)
    options = ("--bundle", small_bundle, "--steps", 0)
    for side, ask in (("native", both.ask_native), ("python", both.ask_python)):
        assert ask("gray.png", "clear.png", "-o", side, *options).code == 0
    for name in ("gray.png", "clear.png"):
        native, python = (
            cv2.imread(str(both.native / side / name), cv2.IMREAD_UNCHANGED)
            for side in ("native", "python")
        )
        assert native.shape == python.shape
        np.testing.assert_allclose(native, python.astype(int), atol=1)


def test_the_benchmark_prints_percentiles_of_each_stage(
    both: BothTools, small_bundle: Path
) -> None:
    options = ("--bundle", small_bundle, "--preset", "realtime", "--warm-up", 1)
    done = both.ask_native("*.png", "--bench", 3, *options)
    assert done.code == 0
    lines = done.out.splitlines()
    assert "blurred.png: 56x40 px, 1 warm-up, 3 runs" in lines[1]
    assert lines[2].split() == ["ms", "p50", "p90", "p99", "max"]
    stages = {line.split()[0]: [float(v) for v in line.split()[1:]] for line in lines[3:]}
    assert list(stages) == ["predictor", "noise", "steps", "total"]
    assert all(times == sorted(times) for times in stages.values())
    assert stages["total"][0] > 0.0
