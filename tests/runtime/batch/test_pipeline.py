"""Pictures read, deblurred and written, one by one and with the stages overlapping."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from runtime.batch.pipeline import run_here
from runtime.batch.plan import Job, plan_batch
from runtime.batch.settings import Settings
from runtime.batch.worker import deblur_file
from runtime.images import read_image
from runtime.session import Session

Image = NDArray[np.uint8]

SETTINGS = Settings(steps=0)


@pytest.fixture
def jobs(tmp_path: Path, photograph: Image) -> tuple[Job, ...]:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for index, name in enumerate(("a.png", "b.png", "c.jpg", "deep/d.png")):
        crop = photograph[index : index + 24, 100:132]
        cv2.imwrite(str(tmp_path / "in" / name), crop)
    return plan_batch([str(tmp_path / "in")], str(tmp_path / "out")).jobs


def test_overlapping_makes_the_same_pictures_in_the_same_order(
    session: Session, jobs: tuple[Job, ...], tmp_path: Path
) -> None:
    outcomes = list(run_here(session, jobs, SETTINGS))
    assert [outcome.job for outcome in outcomes] == list(jobs)
    for job in jobs:
        alone = replace(job, target=tmp_path / "alone.png")
        assert deblur_file(session, alone, SETTINGS).error is None
        assert alone.target.read_bytes() == job.target.read_bytes()


def test_a_bad_picture_does_not_stop_the_others(session: Session, jobs: tuple[Job, ...]) -> None:
    jobs[1].picture.write_bytes(b"no picture")
    outcomes = list(run_here(session, jobs, SETTINGS))
    assert [outcome.error is None for outcome in outcomes] == [True, False, True, True]
    assert str(outcomes[1]).startswith(f"{jobs[1].picture}: ")
    assert not jobs[1].target.exists()


def test_a_place_that_cannot_be_written_does_not_stop_the_others(
    session: Session, jobs: tuple[Job, ...]
) -> None:
    (jobs[-1].target.parent).write_text("a file where a folder should be")
    outcomes = list(run_here(session, jobs, SETTINGS))
    assert [outcome.error is None for outcome in outcomes] == [True, True, True, False]


def test_a_batch_that_is_left_early_keeps_what_was_written(
    session: Session, jobs: tuple[Job, ...]
) -> None:
    outcomes = run_here(session, jobs, SETTINGS)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert read_image(jobs[0].target).shape == (24, 32, 3)


def test_no_pictures_are_no_work(session: Session) -> None:
    assert list(run_here(session, (), SETTINGS)) == []


def test_the_views_are_written_and_hold_their_scale(
    session: Session, jobs: tuple[Job, ...], tmp_path: Path
) -> None:
    planned = plan_batch([str(jobs[0].picture)], str(tmp_path / "v"), comparison=True, std=True)
    outcome = deblur_file(session, planned.jobs[0], Settings(steps=2, samples=2, std=True))
    assert outcome.error is None
    assert outcome.std_scale is not None
    assert read_image(tmp_path / "v" / "a.compare.png").shape == (24, 66, 3)
    heat = PIL.Image.open(tmp_path / "v" / "a.std.png")
    assert heat.size == (32, 24)
    assert f"0 to {outcome.std_scale:g} grey levels" in heat.getexif()[0x010E]
    assert f"0 to {outcome.std_scale:g} grey levels" in str(outcome)


def test_the_stages_are_timed(session: Session, jobs: tuple[Job, ...]) -> None:
    outcome = deblur_file(session, jobs[0], Settings(steps=2, samples=1))
    stages = list(outcome.stages_ms)
    assert (stages[0], stages[-1]) == ("decode", "encode")
    assert {"predictor", "steps"} < set(stages)
    assert 0.0 < sum(outcome.stages_ms.values()) <= outcome.total_ms
