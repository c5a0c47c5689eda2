"""Recipes: whole training configurations by name, whose values explicit options override."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from train.config import BLURS, PRESETS, RECIPES, DataConfig, TrainConfig

# More than any run takes: the clock ends it.
UNLIMITED_STEPS = 10_000_000

# A step of Muon and the launching of kernels take the same time for any batch: 64 crops of 128 px
# are enough work to hide most of it, and ten minutes still hold thousands of steps.
GPU_BATCH = 64


@dataclass(frozen=True)
class Recipe:
    """Stages trained one after another, and the preset they take.

    ``crops_at_once`` is how many crops a device other than a GPU holds at a time. A GPU takes
    batches of ``gpu_batch`` where that is given, and holds ``GPU_BATCH`` crops at a time.
    """

    summary: str
    preset: str
    stages: tuple[TrainConfig, ...]
    crops_at_once: int = 8
    gpu_batch: int | None = None

    @property
    def config(self) -> TrainConfig:
        """The configuration of the last, or only, stage."""
        return self.stages[-1]

    def parts(self, batch: int, devices: int, *, gpu: bool = False) -> int:
        """Into how many equal parts one device's share of ``batch`` is cut."""
        share = max(1, batch // devices)
        wanted = -(-share // (GPU_BATCH if gpu else self.crops_at_once))
        return next(parts for parts in range(wanted, share + 1) if share % parts == 0)


def spread(
    stages: Sequence[TrainConfig], *, minutes: float | None = None, steps: int | None = None
) -> tuple[TrainConfig, ...]:
    """``stages`` that take ``minutes``, or ``steps``, all together, shared as in the recipe.

    Where both are given, what is used up first ends a stage; steps alone take what time they need.
    """
    times = [stage.minutes or 1.0 for stage in stages]
    shares = [time / sum(times) for time in times]
    if steps is not None:
        counts = [max(1, round(share * steps)) for share in shares]
        stages = [replace(s, steps=n, minutes=None) for s, n in zip(stages, counts, strict=True)]
    if minutes is not None:
        stages = [
            replace(stage, minutes=share * minutes)
            for stage, share in zip(stages, shares, strict=True)
        ]
    return tuple(stages)


def _reference(preset: str, minutes: float) -> Recipe:
    """How the reference weights are made: the predictor first, then the denoiser behind it.

    What was tried stands in benchmarks/training-trials.md: L2 and Muon gain most from each crop,
    Muon at this rate wants batches of 8 or more, and a denoiser learns from what is left of the
    residual only once the predictor takes its part; trained together from then on, they gain less.
    Blur like that of photographs and like that of video, where there is detail, gains more than
    either alone. Of what a denoiser can predict, only "edm" is right from the first level to the
    last.
    """
    predictor = TrainConfig(
        model=replace(PRESETS[preset], prediction="edm"),
        data=DataConfig(crop_px=128, blur=BLURS["mixed"], zoom_fraction=0.1, places=3),
        loss=RECIPES["predictor"],
        steps=UNLIMITED_STEPS,
        minutes=0.6 * minutes,
    )
    # Of another seed: its crops would else be those that the first stage began with.
    denoiser = replace(
        predictor,
        loss=replace(RECIPES["denoiser"], levels="mixed"),
        learning_rate=1e-3,
        minutes=0.4 * minutes,
        seed=1,
    )
    return Recipe(
        f"the reference weights of {preset}: {minutes / 60:g} hours on a CPU, less on a GPU",
        preset,
        (predictor, denoiser),
        gpu_batch=GPU_BATCH,
    )


RECIPES_BY_NAME: dict[str, Recipe] = {
    "paper": Recipe(
        "Whang et al. 2022: both networks jointly by the L1 loss on the noise and no other",
        "paper",
        (
            TrainConfig(
                model=replace(PRESETS["paper"], prediction="eps"),
                data=DataConfig(crop_px=128),
                loss=RECIPES["paper"],
                steps=1_000_000,
                batch=256,
                # Lower than that of the small batches below: steps are many, and their noise is
                # small.
                learning_rate=1e-4,
                warmup_steps=20_000,
                ema_decay=0.9999,
            ),
        ),
    ),
    "predictor": Recipe(
        "the predictor alone, by regression (the paper's Table 4, with L2)",
        "tiny",
        (TrainConfig(loss=RECIPES["predictor"]),),
    ),
    "joint+pixel": Recipe(
        "both networks, the predictor pinned by a pixel loss: more gained from each crop",
        "tiny",
        (TrainConfig(loss=RECIPES["joint+pixel"]),),
    ),
    "denoiser": Recipe(
        "the denoiser alone behind the predictor of --init, which stays as it is; "
        "with --prediction v or x0 it makes an eps model fit for few steps",
        "tiny",
        (TrainConfig(loss=RECIPES["denoiser"], learning_rate=5e-4),),
    ),
    "reference-tiny": _reference("tiny", 12 * 60),
    "reference-edge": _reference("edge", 48 * 60),
    "reference-paper": _reference("paper", 7 * 24 * 60),
}
