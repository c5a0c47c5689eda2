"""What is done to one picture file: read, deblur, write. Here or on another machine, it is this."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from runtime.batch.plan import Job
from runtime.batch.settings import Settings
from runtime.batch.views import heat_map, side_by_side
from runtime.errors import DvsrError, OutputError
from runtime.exif import describing
from runtime.images import Photograph, check_output, read_photograph, write_photograph
from runtime.session import Sampling, Session

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Of the session's timings, those that don't overlap: single steps are part of "steps".
_STAGES = ("upload", "predictor", "noise", "steps", "download")


@dataclass(frozen=True)
class Outcome:
    """What became of a job: ``error`` says why there is no picture, and is None where there is.

    ``stages_ms`` are milliseconds by stage and ``total_ms`` those of all three calls together,
    ``std_scale`` is the full scale of the heat map in grey levels, ``process`` the id of the
    process that deblurred.
    """

    job: Job
    error: str | None = None
    width_px: int = 0
    height_px: int = 0
    std_scale: float | None = None
    stages_ms: dict[str, float] = field(default_factory=dict)
    total_ms: float = 0.0
    process: int = 0

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.job.picture}: {' '.join(self.error.split())}"
        scale = "" if self.std_scale is None else f", std 0 to {self.std_scale:g} grey levels"
        return (
            f"{self.job.picture} -> {self.job.target} "
            f"({self.width_px}x{self.height_px}, {self.total_ms / 1000.0:.1f} s{scale})"
        )


@dataclass(frozen=True)
class Loaded:
    """A picture that was read for ``job``."""

    job: Job
    photograph: Photograph
    decode_ms: float


@dataclass(frozen=True)
class Sharpened:
    """A picture that was deblurred: uint8 RGB (H, W, 3), and float32 (H, W, 3) grey levels."""

    loaded: Loaded
    image: Image
    std: Floats | None
    stages_ms: dict[str, float]
    total_ms: float


def deblur_file(session: Session, job: Job, settings: Settings) -> Outcome:
    """All three stages; a failure that is the picture's or the place's is the outcome's error."""
    try:
        return store(sharpen(session, load(job), settings))
    except DvsrError as error:
        return Outcome(job, str(error))


def load(job: Job) -> Loaded:
    """Read the picture, and see that its outputs can be written; raises DvsrError."""
    began = time.perf_counter()
    photograph = read_photograph(job.picture)
    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot create the folder {job.target.parent}: {error.strerror}; choose another output"
        ) from error
    check_output(job.target, photograph)
    return Loaded(job, photograph, _ms_since(began))


def sharpen(session: Session, loaded: Loaded, settings: Settings) -> Sharpened:
    """Deblur; raises DvsrError."""
    began = time.perf_counter()
    sampling: Sampling = {
        "steps": settings.steps,
        "samples": settings.samples,
        "self_ensemble": settings.self_ensemble,
        "strength": settings.strength,
        "seed": settings.seed,
        "preset": settings.preset,
    }
    blurred, std = loaded.photograph.image, None
    if settings.std:
        image, std = session.deblur(blurred, return_std=True, **sampling)
    else:
        image = session.deblur(blurred, **sampling)
    total_ms = _ms_since(began)
    timings = session.timings
    stages = {stage: timings[stage] for stage in _STAGES if stage in timings}
    return Sharpened(loaded, image, std, stages, total_ms)


def store(made: Sharpened) -> Outcome:
    """Write the picture and the views wanted, the picture last; raises DvsrError.

    Where the picture stands, its views do too.
    """
    began = time.perf_counter()
    job, before = made.loaded.job, made.loaded.photograph
    if job.comparison is not None:
        pair = Photograph(
            side_by_side(before.image, made.image), colour_profile=before.colour_profile
        )
        write_photograph(job.comparison, pair)
    scale = None
    if job.std is not None and made.std is not None:
        colours, scale = heat_map(made.std)
        said = f"standard deviation of the samples; inferno, 0 to {scale:g} grey levels"
        write_photograph(job.std, Photograph(colours, exif=describing(said)))
    write_photograph(job.target, replace(before, image=made.image))
    encode_ms = _ms_since(began)
    height, width = made.image.shape[:2]
    return Outcome(
        job,
        width_px=width,
        height_px=height,
        std_scale=scale,
        stages_ms={"decode": made.loaded.decode_ms, **made.stages_ms, "encode": encode_ms},
        total_ms=made.loaded.decode_ms + made.total_ms + encode_ms,
        process=os.getpid(),
    )


def _ms_since(began: float) -> float:
    return 1000.0 * (time.perf_counter() - began)
