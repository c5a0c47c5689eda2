"""The default bundle on the validation pairs: the promises of the README, on every fourth pair.

The whole set is measured by ``python -m train.evaluate``; its figures stand in ``benchmarks/``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.session import Session
from train.data import Pictures, find_pictures
from train.evaluate import Score, Setting, evaluate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def score_of(validation: Path) -> Callable[[str, Setting], Score]:
    """Scores of one group at 10 steps; sharp pictures go through as well at 4 samples."""
    pairs = find_pictures(validation)
    assert pairs.blurred is not None
    few = Pictures(pairs.sharp[::4], pairs.blurred[::4])
    with Session() as session:
        scores = [
            *evaluate(session, few, [Setting(10, 4)], keep_sharp=True, progress=False),
            *evaluate(session, few, [Setting(10, 1), Setting(10, 8)], progress=False),
        ]
    table = {(score.group, score.samples): score for score in scores}
    return lambda group, setting: table[group, setting.samples]


@pytest.mark.parametrize("group", ["gopro", "kodak"])
def test_both_groups_gain(score_of: Callable[[str, Setting], Score], group: str) -> None:
    assert score_of(group, Setting(10, 4)).gain > 0.0


def test_all_pairs_together_gain_three_tenths(score_of: Callable[[str, Setting], Score]) -> None:
    assert score_of("all", Setting(10, 4)).gain >= 0.3


def test_a_sharp_picture_stays_as_it_is(score_of: Callable[[str, Setting], Score]) -> None:
    kept = score_of("all", Setting(10, 4)).sharp_kept_min
    assert kept is not None
    assert kept > 32.0


def test_averaging_eight_samples_beats_one(score_of: Callable[[str, Setting], Score]) -> None:
    one, eight = score_of("all", Setting(10, 1)), score_of("all", Setting(10, 8))
    assert eight.deblurred > one.deblurred
