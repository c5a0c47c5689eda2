"""Bundles and checkpoints on pairs: groups, and that both give the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.session import Session
from train.data.layouts import find_pictures, take_evenly
from train.measuring.evaluation import evaluate, measure_all
from train.measuring.inference import CheckpointSession
from train.measuring.metrics import Metrics
from train.measuring.scores import Setting


def test_groups_are_reported_apart_and_together(pairs: Path, small_bundle: Path) -> None:
    with Session(small_bundle) as session:
        scores = evaluate(session, find_pictures(pairs), [Setting(0, 1)], progress=False)
    assert [(score.group, score.pictures) for score in scores] == [
        ("left", 2),
        ("right", 1),
        ("all", 3),
    ]
    assert all(s.gain == pytest.approx(s.deblurred - s.blurred, abs=0.002) for s in scores)


def test_a_checkpoint_is_evaluated_as_the_bundle_made_from_it(
    pairs: Path, small_bundle: Path, checkpoint: Path
) -> None:
    pictures = take_evenly(find_pictures(pairs), 1)
    scores = []
    with Session(small_bundle) as bundle:
        for session in (bundle, CheckpointSession(checkpoint)):
            rows, _ = measure_all(
                session,
                pictures,
                [Setting(10, 2)],
                Metrics(),
                # Those from the guess begin where each bundle wants them to.
                preset="paper-sa",
                spread=True,
                progress=False,
            )
            scores.append(rows[0])
    # Both round to grey levels, and may do so differently at a tie.
    assert scores[1].deblurred == pytest.approx(scores[0].deblurred, abs=0.01)
    assert scores[0].spread is not None
    assert scores[1].spread is not None
    assert scores[1].spread.std == pytest.approx(scores[0].spread.std, rel=1e-3)


def test_a_checkpoint_is_turned_as_the_bundle_is(
    pairs: Path, small_bundle: Path, checkpoint: Path
) -> None:
    pictures, found = take_evenly(find_pictures(pairs), 1), []
    with Session(small_bundle) as bundle:
        for session in (bundle, CheckpointSession(checkpoint)):
            options = {"preset": "distortion", "progress": False}
            found.append(evaluate(session, pictures, [Setting(0, 3)], **options)[0].deblurred)
    assert found[1] == pytest.approx(found[0], abs=0.01)
