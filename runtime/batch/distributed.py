"""A batch on a Ray cluster: Ray distributes the pictures, places the workers and tries again.

Every machine needs this package, an engine, and the same files under the same paths.
"""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from runtime.batch.plan import Job
from runtime.batch.settings import Settings
from runtime.batch.worker import Outcome, deblur_file
from runtime.bundle import find_bundle
from runtime.engines import require
from runtime.errors import EngineError, OptionError
from runtime.session import Session

# A picture that ends its worker may do so again; one whose machine went away will not.
RETRIES = 3

_JOB, _OUTCOME = "job", "outcome"


class Worker:
    """What Ray keeps alive on a machine: one open session, asked for one picture at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session = Session(
            settings.bundle, engine=settings.engine, memory_mib=settings.memory_mib
        )

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        outcomes = [deblur_file(self._session, job, self._settings) for job in batch[_JOB]]
        return {_OUTCOME: outcomes}


@contextmanager
def connect(address: str | None) -> Iterator[Any]:
    """Ray, connected to the cluster at ``address``; None: the one at hand, else one started here.

    Raises EngineError where Ray is not installed, and OptionError where no cluster answers.
    """
    require("ray", "ray")
    # Ray would report what a cluster that we start does to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = importlib.import_module("ray")
    importlib.import_module("ray.data")
    try:
        ray.init(
            address=address, include_dashboard=False, log_to_driver=False, logging_level="error"
        )
    except Exception as error:  # Ray raises a bare one where its processes do not start in time
        raise OptionError(
            f"Ray {f'at {address}' if address else 'on this machine'} does not answer ({error}); "
            "start it with ray start --head, and give its address"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def count_workers(ray: Any, wanted: int | None) -> int:
    """``wanted``, or one for each GPU of the cluster, or for each machine where it has none."""
    machines = sum(bool(node["Alive"]) for node in ray.nodes())
    return wanted or _gpus(ray) or machines


def run_there(ray: Any, jobs: Sequence[Job], settings: Settings, workers: int) -> Iterator[Outcome]:
    """The outcomes as they come, each job once, by ``workers`` processes.

    What a worker was doing when it died is done again, RETRIES times. Raises EngineError where no
    worker can start.
    """
    _quieten(ray)
    todo = {job.target: job for job in map(_everywhere, jobs)}
    if not todo:
        return
    dataset = _dataset(ray, list(todo.values()), settings, workers)
    try:
        for row in dataset.iter_rows():
            outcome: Outcome = row[_OUTCOME]
            if todo.pop(outcome.job.target, None) is not None:
                yield outcome
    except ray.exceptions.RayError as error:
        cause = str(error).strip().splitlines()[-1]  # what comes before are the places passed
        raise EngineError(f"Ray gave up: {cause}; see that every machine can do it") from error
    for job in todo.values():
        yield Outcome(job, f"its worker ended {RETRIES + 1} times, for lack of memory perhaps")


def _dataset(ray: Any, jobs: Sequence[Job], settings: Settings, workers: int) -> Any:
    """A dataset of outcomes: nothing runs until its rows are asked for."""
    bundle = str(find_bundle(settings.bundle).absolute())
    # A block for each job: what is tried again, and what is reported, is one picture.
    pictures = ray.data.from_items([{_JOB: job} for job in jobs], override_num_blocks=len(jobs))
    with warnings.catch_warnings():
        # Retries have no named parameter yet; the extra ends below the version that drops these.
        warnings.filterwarnings("ignore", message=".*ray_remote_args")
        return pictures.map_batches(
            Worker,
            fn_constructor_args=(replace(settings, bundle=bundle),),
            batch_size=1,
            concurrency=min(workers, len(jobs)),
            num_gpus=1 if _gpus(ray) else None,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )


def _gpus(ray: Any) -> int:
    return int(ray.cluster_resources().get("GPU", 0))


def _quieten(ray: Any) -> None:
    """Leave progress to us, and go on when a picture fails: what failed is told by what lacks."""
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1


def _everywhere(job: Job) -> Job:
    """The same job with paths that do not depend on the working directory."""
    return Job(
        job.picture.absolute(),
        job.target.absolute(),
        None if job.comparison is None else job.comparison.absolute(),
        None if job.std is None else job.std.absolute(),
    )
