from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.batch.distributed import connect, count_workers, run_there
from runtime.batch.pipeline import run_here
from runtime.batch.plan import Job, plan_batch
from runtime.batch.settings import Settings
from runtime.errors import EngineError
from runtime.session import Session

pytest.importorskip("ray", reason="Ray is an extra: pip install 'dvsr-edge[ray]'")

PICTURES = 10


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A local Ray, started as the command line starts it."""
    with connect(None) as ray:
        yield ray


@pytest.fixture
def jobs(tmp_path: Path, photograph: NDArray[np.uint8]) -> tuple[Job, ...]:
    (tmp_path / "in").mkdir()
    for index in range(PICTURES):
        crop = photograph[8 * index : 8 * index + 48, 100:148]
        cv2.imwrite(str(tmp_path / "in" / f"{index}.png"), crop)
    return plan_batch([str(tmp_path / "in")], str(tmp_path / "out")).jobs


@pytest.mark.slow
def test_a_worker_killed_half_way_costs_no_picture(
    cluster: Any, jobs: tuple[Job, ...], small_bundle: Path, tmp_path: Path
) -> None:
    jobs[7].picture.write_bytes(b"no picture")
    settings = Settings(bundle=str(small_bundle), steps=20, samples=4)
    outcomes = []
    for outcome in run_there(cluster, jobs, settings, workers=2):
        if not outcomes:
            os.kill(outcome.process, signal.SIGKILL)
        outcomes.append(outcome)
    assert Counter(outcome.job.target for outcome in outcomes) == Counter(
        job.target for job in jobs
    )
    assert [outcome.job for outcome in outcomes if outcome.error is not None] == [jobs[7]]
    assert len({outcome.process for outcome in outcomes}) > 1
    with Session(small_bundle, engine="onnx-cpu") as session:
        for job in jobs:
            alone = replace(job, target=tmp_path / "alone" / job.target.name)
            expected = next(run_here(session, (alone,), settings))
            if expected.error is None:
                assert alone.target.read_bytes() == job.target.read_bytes()


@pytest.mark.slow
def test_there_is_a_worker_for_each_machine_unless_told_otherwise(cluster: Any) -> None:
    gpus = int(cluster.cluster_resources().get("GPU", 0))
    assert count_workers(cluster, None) == (gpus or 1)
    assert count_workers(cluster, 3) == 3


@pytest.mark.slow
def test_no_pictures_are_no_work(cluster: Any) -> None:
    assert list(run_there(cluster, (), Settings(), workers=2)) == []


@pytest.mark.slow
def test_workers_that_cannot_start_are_one_error(cluster: Any, jobs: tuple[Job, ...]) -> None:
    with pytest.raises(EngineError, match=r"^Ray gave up: .*abacus.*$"):
        list(run_there(cluster, jobs, Settings(engine="abacus"), workers=1))
