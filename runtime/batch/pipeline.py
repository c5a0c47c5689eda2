"""A batch on this machine: one picture is read and one written while another is deblurred."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from runtime.batch.plan import Job
from runtime.batch.settings import Settings
from runtime.batch.worker import Loaded, Outcome, Sharpened, load, sharpen, store
from runtime.errors import DvsrError
from runtime.session import Session

# Each picture that waits takes memory, and one of each is enough to keep the engine busy.
_AHEAD = 1
_BEHIND = 1


def run_here(session: Session, jobs: Sequence[Job], settings: Settings) -> Iterator[Outcome]:
    """The outcomes in the order of ``jobs``; one that fails doesn't stop the others.

    Left early, it ends when the picture that is being written is whole.
    """
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        waiting: deque[Future[Outcome]] = deque()
        for job, loading in _read_ahead(reader, jobs):
            waiting.append(_sharpen(session, job, loading, settings, writer))
            while len(waiting) > _BEHIND:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read_ahead(
    reader: ThreadPoolExecutor, jobs: Sequence[Job]
) -> Iterator[tuple[Job, Future[Loaded]]]:
    ahead: deque[tuple[Job, Future[Loaded]]] = deque()
    for job in jobs:
        ahead.append((job, reader.submit(load, job)))
        if len(ahead) > _AHEAD:
            yield ahead.popleft()
    yield from ahead


def _sharpen(
    session: Session,
    job: Job,
    loading: Future[Loaded],
    settings: Settings,
    writer: ThreadPoolExecutor,
) -> Future[Outcome]:
    """Deblur in this thread, and hand the result to ``writer``."""
    try:
        made = sharpen(session, loading.result(), settings)
    except DvsrError as error:
        return writer.submit(Outcome, job, str(error))
    return writer.submit(_store, made)


def _store(made: Sharpened) -> Outcome:
    try:
        return store(made)
    except DvsrError as error:
        return Outcome(made.loaded.job, str(error))
