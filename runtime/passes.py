"""One call from first to last: its samples, turned or not, and a second pass over their mean.

A predictor that sees its own result finds some of the blur that it left, and takes some of what it
did for blur. A share of that second correction brings the picture closer to the sharp one than none
or all of it, as in "twicing" (Tukey, "Exploratory Data Analysis", 1977) and, for pictures, Romano
and Elad, "Boosting of Image Denoising Algorithms", 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.engines import Request, Result
from runtime.errors import OptionError
from runtime.loop import merge_stages
from runtime.samplers import COLUMNS, Table
from runtime.turns import TURNS, answer_turned

Images = NDArray[np.uint8]
Answer = Callable[[Request], Result]

_PREDICTOR_ALONE = Table(0.0, np.empty((0, len(COLUMNS))))


def answer_in_passes(
    request: Request,
    answer: Answer,
    framed: Callable[[Images], Images],
    *,
    turned: bool,
    second_pass: float,
) -> Result:
    """The answer to ``request``, each part of it by ``answer``.

    With ``turned`` several samples are drawn on the picture turned (:mod:`runtime.turns`).
    ``second_pass`` is the share, 0 to 1, that is added of what the predictor, on as many turns,
    still finds on the result; samples get it too, and their deviation stays. ``framed`` reflects a
    result anew beyond its edges. Raises OptionError where pictures on a GPU want either.
    """
    turned = turned and request.samples > 1
    if not turned and second_pass == 0.0:
        return answer(request)
    if not isinstance(request.images, np.ndarray) or request.target is not None:
        raise OptionError(
            "got pictures on a GPU for a self-ensemble or a second pass, which the host does: copy "
            "them there first, with .cpu() in torch or cupy.asnumpy(), and name no out= on the "
            "GPU, or take a preset without a second pass and give self_ensemble=False"
        )

    def run(part: Request) -> Result:
        return answer_turned(part, answer) if turned else answer(part)

    result = run(request)
    if second_pass == 0.0:
        return result
    assert result.images is not None, "it has no target to go to"
    seen = framed(result.images)
    again = run(
        replace(
            request,
            images=seen,
            table=_PREDICTOR_ALONE,
            samples=min(TURNS, request.samples) if turned else 1,
            want_std=False,
            want_samples=False,
            held_bytes=seen.nbytes,
        )
    )
    assert again.images is not None, "it has no target to go to"
    found = second_pass * (again.images.astype(np.float64) - seen)
    samples = None if result.samples is None else _shifted(result.samples, found[:, None])
    stages_ms = merge_stages([result.stages_ms, again.stages_ms])
    return Result(_shifted(seen, found), result.std, samples, stages_ms)


def _shifted(pictures: NDArray[Any], by: NDArray[np.float64]) -> Images:
    return np.clip(np.rint(pictures + by), 0, 255).astype(np.uint8)
