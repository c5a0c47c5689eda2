"""The stages of a recipe, one after another, each from the weights of the one before."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train import checkpoint
from train.checkpoint import Card
from train.config import Execution, TrainConfig
from train.data.layouts import Pictures
from train.loop import is_finished, open_fabric, train


def train_stages(
    stages: Sequence[TrainConfig],
    pictures: Pictures,
    folder: Path,
    *,
    init: Path | None = None,
    weights: Path | None = None,
    within_s: float = math.inf,
    execution: Execution = Execution(),  # noqa: B008 (it is frozen)
    **options: Any,
) -> Path:
    """Train all ``stages`` and return the path of the last ``model.safetensors`` written.

    The last stage has ``folder`` to itself, the others ``stage-1`` and so on inside. Stages that
    are finished there are passed over; one that was stopped, by a signal or because ``within_s``
    seconds were over, ends it all. ``init`` are starting weights of the first stage; ``weights``
    are those of one of these very stages, to go on from on another machine. ``options`` are those
    of :func:`train.loop.train`. Raises as it does.
    """
    deadline = time.monotonic() + within_s
    fabric = open_fabric(stages[0], execution)
    fabric.launch()
    card = None if weights is None else checkpoint.load_card(weights)
    reached = 0 if card is None else find_stage(stages, card)
    written = init if weights is None else weights
    for index, config in enumerate(stages[reached:], reached):
        last = index + 1 == len(stages)
        goes_on = card is not None and card.config == config
        written = train(
            config,
            pictures,
            folder if last else folder / f"stage-{index + 1}",
            init=None if goes_on else written,
            resume=weights if goes_on else None,
            within_s=deadline - time.monotonic(),
            execution=execution,
            fabric=fabric,
            **options,
        )
        done = is_done(checkpoint.load_card(written))
        if not done or time.monotonic() >= deadline:
            break
    assert written is not None, "a recipe has stages"
    return written


def find_stage(stages: Sequence[TrainConfig], card: Card) -> int:
    """Which of ``stages`` weights with this card go on with: their own, or the one after it.

    Weights of none of them are where the first begins; behind the last there is none.
    """
    if card.config not in stages:
        return 0
    return list(stages).index(card.config) + is_done(card)


def is_done(card: Card) -> bool:
    """Whether the stage that these weights are of is finished."""
    return is_finished(card.config, card.step, card.stages[-1].seconds)
