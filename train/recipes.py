"""Recipes: whole training configurations by name, whose values explicit options override."""

from __future__ import annotations

from dataclasses import dataclass, replace

from train.config import PRESETS, RECIPES, DataConfig, TrainConfig


@dataclass(frozen=True)
class Recipe:
    """A configuration, the preset it takes, and how many crops one device holds at a time."""

    summary: str
    preset: str
    config: TrainConfig
    crops_at_once: int = 8

    def parts(self, batch: int, devices: int) -> int:
        """Into how many equal parts one device's share of ``batch`` is cut."""
        share = max(1, batch // devices)
        wanted = -(-share // self.crops_at_once)
        return next(parts for parts in range(wanted, share + 1) if share % parts == 0)


RECIPES_BY_NAME: dict[str, Recipe] = {
    "paper": Recipe(
        "Whang et al. 2022: both networks jointly by the L1 loss on the noise and no other",
        "paper",
        TrainConfig(
            model=replace(PRESETS["paper"], prediction="eps"),
            data=DataConfig(crop_px=128),
            loss=RECIPES["paper"],
            steps=1_000_000,
            batch=256,
            # Lower than that of the small batches below: steps are many, and their noise is small.
            learning_rate=1e-4,
            warmup_steps=20_000,
            ema_decay=0.9999,
        ),
    ),
    "predictor": Recipe(
        "the predictor alone, by regression (the paper's Table 4, with L2)",
        "tiny",
        TrainConfig(loss=RECIPES["predictor"]),
    ),
    "joint+pixel": Recipe(
        "both networks, the predictor pinned by a pixel loss: more gained from each crop",
        "tiny",
        TrainConfig(loss=RECIPES["joint+pixel"]),
    ),
}
