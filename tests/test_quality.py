"""The default bundle on the validation pairs: the promises of the README.

The gain is that of all pairs; what needs more steps is shown on every fourth. The figures of
``python -m train.evaluate`` stand in ``benchmarks/``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.images import read_image
from runtime.session import Session
from train.data.layouts import Pictures, find_pictures
from train.measuring.evaluation import evaluate
from train.measuring.metrics import psnr
from train.measuring.scores import Score, Setting

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def score_of(validation: Path) -> Callable[[str, Setting], Score]:
    """Scores of one group at 10 steps: all pairs at 4 samples, every fourth at 1 and 8."""
    pairs = find_pictures(validation)
    assert pairs.blurred is not None
    few = Pictures(pairs.sharp[::4], pairs.blurred[::4])
    with Session(engine="onnx-cpu") as session:
        scores = [
            *evaluate(session, pairs, [Setting(10, 4)], progress=False),
            *evaluate(session, few, [Setting(10, 1), Setting(10, 8)], progress=False),
        ]
    table = {(score.group, score.samples): score for score in scores}
    return lambda group, setting: table[group, setting.samples]


@pytest.mark.parametrize("group", ["gopro", "kodak"])
def test_both_groups_gain(score_of: Callable[[str, Setting], Score], group: str) -> None:
    assert score_of(group, Setting(10, 4)).gain > 0.0


def test_all_pairs_together_gain_three_tenths(score_of: Callable[[str, Setting], Score]) -> None:
    assert score_of("all", Setting(10, 4)).gain >= 0.3


def test_a_sharp_picture_stays_as_it_is(validation: Path) -> None:
    pairs = find_pictures(validation)
    with Session(engine="onnx-cpu") as session:
        for path in pairs.sharp[::4]:
            sharp = read_image(path)
            assert psnr(sharp, session.deblur(sharp, steps=10, samples=4)) > 32.0


def test_averaging_eight_samples_beats_one(score_of: Callable[[str, Setting], Score]) -> None:
    one, eight = score_of("all", Setting(10, 1)), score_of("all", Setting(10, 8))
    assert eight.deblurred > one.deblurred
