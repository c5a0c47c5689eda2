"""One call from first to last: its samples, on the picture turned or not, and their strength.

A network that has not learned all there is corrects too little, and a mean over turns of a picture
keeps what they agree on and only a part of the rest. Both leave the result nearer to the blurred
picture than the sharp one is; a strength above 1, found on photographs that the network was not
trained on (benchmarks/training-trials.md), makes up for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.engines import Request, Result
from runtime.errors import OptionError
from runtime.turns import answer_turned

Images = NDArray[np.uint8]
Answer = Callable[[Request], Result]


def answer_with(request: Request, answer: Answer, *, turned: bool, strength: float) -> Result:
    """The answer to ``request``, each part of it by ``answer``.

    With ``turned`` several samples are drawn on the picture turned (:mod:`runtime.turns`). What
    they change in a picture is multiplied by ``strength``, and so is their deviation. Raises
    OptionError where pictures on a GPU want either.
    """
    turned = turned and request.samples > 1
    if not turned and strength == 1.0:
        return answer(request)
    if not isinstance(request.images, np.ndarray) or request.target is not None:
        raise OptionError(
            "got pictures on a GPU for a self-ensemble or a strength, which the host does: copy "
            "them there first, with .cpu() in torch or cupy.asnumpy(), and name no out= on the "
            "GPU, or give strength=1 and self_ensemble=False"
        )
    result = answer_turned(request, answer) if turned else answer(request)
    if strength == 1.0:
        return result
    assert result.images is not None, "it has no target to go to"
    return Result(
        _stronger(result.images, request.images, strength),
        None if result.std is None else np.float32(strength) * result.std,
        None
        if result.samples is None
        else _stronger(result.samples, request.images[:, None], strength),
        result.stages_ms,
    )


def _stronger(sharp: Images, blurred: Images, strength: float) -> Images:
    change = sharp.astype(np.float64) - blurred
    stronger: NDArray[Any] = np.clip(np.rint(blurred + strength * change), 0, 255)
    return stronger.astype(np.uint8)
