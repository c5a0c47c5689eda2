"""The default bundle on the validation pairs: the promises of the README.

The gain is that of all pairs at two steps, which are as good as ten to 0.02 dB; what needs more
steps is shown on every eighth. The figures of ``python -m train.evaluate`` stand in
``benchmarks/``.
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

ALL_PAIRS = Setting(2, 1)
FEW_PAIRS = (Setting(10, 1), Setting(10, 4))


@pytest.fixture(scope="module")
def score_of(validation: Path) -> Callable[[str, Setting], Score]:
    """Scores of one group: of all pairs at two steps, of every eighth at ten."""
    pairs = find_pictures(validation)
    assert pairs.blurred is not None
    few = Pictures(pairs.sharp[::8], pairs.blurred[::8])
    with Session(engine="onnx-cpu") as session:
        scores = [
            *evaluate(session, pairs, [ALL_PAIRS], progress=False),
            *evaluate(session, few, FEW_PAIRS, progress=False),
        ]
    table = {(score.group, score.steps, score.samples): score for score in scores}
    return lambda group, setting: table[group, setting.steps, setting.samples]


@pytest.mark.parametrize("group", ["gopro", "kodak"])
def test_both_groups_gain_half_a_decibel(
    score_of: Callable[[str, Setting], Score], group: str
) -> None:
    assert score_of(group, ALL_PAIRS).gain >= 0.5


def test_all_pairs_together_gain_six_tenths(score_of: Callable[[str, Setting], Score]) -> None:
    assert score_of("all", ALL_PAIRS).gain >= 0.6


def test_a_sharp_picture_stays_as_it_is(validation: Path) -> None:
    pairs = find_pictures(validation)
    with Session(engine="onnx-cpu") as session:
        for path in pairs.sharp[::4]:
            sharp = read_image(path)
            assert psnr(sharp, session.deblur(sharp, steps=10, samples=1)) > 35.0


def test_averaging_four_samples_beats_one(score_of: Callable[[str, Setting], Score]) -> None:
    one, four = (score_of("all", setting) for setting in FEW_PAIRS)
    assert four.deblurred > one.deblurred


def test_the_turned_picture_shows_the_predictor_more(validation: Path) -> None:
    pairs = find_pictures(validation)
    assert pairs.blurred is not None
    few = Pictures(pairs.sharp[::8], pairs.blurred[::8])
    options = {"preset": "distortion", "progress": False}
    with Session(engine="onnx-cpu") as session:
        still, turned = evaluate(session, few, [Setting(0, 1), Setting(0, 8)], **options)[2::3]
    assert turned.deblurred > still.deblurred + 0.02
