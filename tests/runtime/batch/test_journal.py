from __future__ import annotations

import os
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from runtime.batch.journal import NAME, Remaining, begin
from runtime.batch.plan import Job, plan_batch
from runtime.batch.settings import Recipe
from runtime.errors import OptionError

RECIPE = Recipe("tiny", "0" * 64, "auto", "balanced", steps=10, samples=4, seed=0)
OTHER = msgspec.structs.replace(RECIPE, steps=4)
PICTURE = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()


@pytest.fixture
def jobs(tmp_path: Path) -> tuple[Job, ...]:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / "in" / name).write_bytes(PICTURE)
    return plan_batch([str(tmp_path / "in")], str(tmp_path / "out")).jobs


def go_on(jobs: tuple[Job, ...], recipe: Recipe = RECIPE, *, overwrite: bool = False) -> Remaining:
    return begin(jobs[0].target.parent, jobs, recipe, overwrite=overwrite)


def make(*jobs: Job) -> None:
    for job in jobs:
        for output in job.outputs:
            output.write_bytes(PICTURE)


def test_what_was_made_with_the_same_recipe_is_done(jobs: tuple[Job, ...]) -> None:
    go_on(jobs)
    make(jobs[0], jobs[2])
    assert go_on(jobs) == Remaining((jobs[1],), 2)


def test_a_cut_output_is_made_again(jobs: tuple[Job, ...]) -> None:
    go_on(jobs)
    make(*jobs)
    jobs[1].target.write_bytes(PICTURE[:-5])
    assert go_on(jobs).jobs == (jobs[1],)


def test_an_output_older_than_its_picture_is_made_again(jobs: tuple[Job, ...]) -> None:
    go_on(jobs)
    make(*jobs)
    later = jobs[1].target.stat().st_mtime + 10.0
    os.utime(jobs[1].picture, (later, later))
    assert go_on(jobs).jobs == (jobs[1],)


def test_a_view_that_lacks_is_made(jobs: tuple[Job, ...], tmp_path: Path) -> None:
    go_on(jobs)
    make(*jobs)
    wanted = plan_batch([str(tmp_path / "in")], str(tmp_path / "out"), std=True).jobs
    assert go_on(wanted).jobs == wanted


def test_overwrite_makes_everything_again(jobs: tuple[Job, ...]) -> None:
    go_on(jobs)
    make(*jobs)
    assert go_on(jobs, overwrite=True) == Remaining(jobs, 0)


def test_another_recipe_is_refused_with_what_differs(jobs: tuple[Job, ...]) -> None:
    go_on(jobs)
    make(jobs[0])
    with pytest.raises(OptionError, match=r"steps 10, now 4\).*--overwrite"):
        go_on(jobs, OTHER)


def test_another_recipe_may_begin_where_no_picture_is(jobs: tuple[Job, ...]) -> None:
    go_on(jobs)
    assert go_on(jobs, OTHER).jobs == jobs


def test_an_overwriting_batch_that_is_interrupted_leaves_no_mixture(jobs: tuple[Job, ...]) -> None:
    go_on(jobs)
    make(*jobs)
    go_on(jobs, OTHER, overwrite=True)
    make(jobs[0])
    assert go_on(jobs, OTHER) == Remaining(jobs[1:], 1)


def test_pictures_of_another_recipe_are_not_taken_for_done_later(jobs: tuple[Job, ...]) -> None:
    go_on(jobs)
    make(*jobs)
    go_on(jobs[:1], OTHER, overwrite=True)
    make(jobs[0])
    with pytest.raises(OptionError, match=r"2 of the pictures.*b\.png"):
        go_on(jobs, OTHER)


def test_pictures_that_nobody_accounts_for_are_not_overwritten(jobs: tuple[Job, ...]) -> None:
    make(jobs[1])
    with pytest.raises(OptionError, match=r"b\.png.*no record"):
        go_on(jobs)
    assert go_on(jobs, overwrite=True).jobs == jobs


def test_other_pictures_in_the_folder_do_not_matter(jobs: tuple[Job, ...]) -> None:
    other = jobs[0].target.with_name("other.png")
    other.write_bytes(PICTURE)
    assert go_on(jobs).jobs == jobs
    assert go_on(jobs, OTHER, overwrite=True).jobs == jobs
    assert other.exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"format": 2}'])
def test_a_journal_that_cannot_be_read_is_refused(jobs: tuple[Job, ...], content: bytes) -> None:
    jobs[0].target.with_name(NAME).write_bytes(content)
    with pytest.raises(OptionError, match=NAME):
        go_on(jobs)
