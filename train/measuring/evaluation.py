"""A bundle or a checkpoint on pairs of pictures: one row for each, and sets of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import DataError, OptionError
from runtime.images import read_image
from runtime.session import Session
from train.data.layouts import Pictures
from train.extras import load
from train.measuring.metrics import Image, Metrics, psnr
from train.measuring.scores import Row, Score, Setting, measure_spread, summarise

if TYPE_CHECKING:
    from train.measuring.inference import CheckpointSession

Floats = NDArray[np.float32]


def evaluate(
    session: Session | CheckpointSession,
    pictures: Pictures,
    settings: Sequence[Setting],
    **options: Any,
) -> tuple[Score, ...]:
    """PSNR of every group at every setting, then of all pictures together ("all").

    A picture's group is its name up to the first underscore. ``options`` are those of measure().
    Raises DataError without pairs.
    """
    return summarise(list(measure(session, pictures, settings, **options)))


def measure(
    session: Session | CheckpointSession,
    pictures: Pictures,
    settings: Sequence[Setting],
    *,
    preset: str | None = None,
    seed: int = 0,
    keep_sharp: bool = False,
    spread: bool = False,
    metrics: Metrics | None = None,
    progress: bool = True,
) -> Iterator[Row]:
    """One row for each picture at each setting, settings one after another.

    Metrics of sets take in the pictures as rows come out. Raises DataError without pairs and
    OptionError for a spread of one sample.
    """
    if pictures.blurred is None:
        raise DataError("got sharp pictures alone; wanted are the folders blur/ and sharp/")
    if spread and any(setting.samples < 2 for setting in settings):
        raise OptionError("got one sample, which has no spread; wanted are at least 2")
    metrics = metrics or Metrics()
    pairs = list(zip(pictures.blurred, pictures.sharp, strict=True))
    bar = load("tqdm", "train").tqdm(
        total=len(pairs) * len(settings), unit="picture", disable=not progress
    )
    with bar:
        for setting in settings:
            for blurred_path, sharp_path in pairs:
                blurred, sharp = read_image(blurred_path), read_image(sharp_path)
                picture, std = _deblur(session, blurred, setting, preset, seed)
                kept = _deblur(session, sharp, setting, preset, seed)[0] if keep_sharp else None
                error = picture.astype(np.float32) - sharp
                for distance in metrics.sets.values():
                    distance.add(picture, sharp)
                yield Row(
                    group=sharp_path.stem.partition("_")[0],
                    picture=sharp_path.name,
                    setting=setting,
                    blurred=psnr(sharp, blurred),
                    deblurred=psnr(sharp, picture),
                    sharp_kept=None if kept is None else psnr(sharp, kept),
                    metrics=metrics.measure(picture, sharp),
                    input_metrics=metrics.measure(blurred, sharp),
                    sharp_metrics=metrics.measure(sharp, sharp),
                    spread=measure_spread(std, error, setting.samples) if spread else None,
                )
                bar.update()


def _deblur(
    session: Session | CheckpointSession,
    image: Image,
    setting: Setting,
    preset: str | None,
    seed: int,
) -> tuple[Image, Floats]:
    options: dict[str, Any] = {"return_std": True} if isinstance(session, Session) else {}
    result: tuple[Image, Floats] = session.deblur(
        image, steps=setting.steps, samples=setting.samples, preset=preset, seed=seed, **options
    )
    return result


def measure_all(
    session: Session | CheckpointSession,
    pictures: Pictures,
    settings: Sequence[Setting],
    metrics: Metrics,
    **options: Any,
) -> tuple[list[Row], dict[Setting, dict[str, float]]]:
    """All rows, and the metrics of sets for each setting; ``options`` are those of measure()."""
    rows: list[Row] = []
    sets: dict[Setting, dict[str, float]] = {}
    for setting in settings:
        rows += measure(session, pictures, [setting], metrics=metrics, **options)
        values = {name: distance.take() for name, distance in metrics.sets.items()}
        sets[setting] = {name: value for name, value in values.items() if value is not None}
        for name in values.keys() - sets[setting].keys():
            metrics.missing[name] = "the pictures hold fewer than two patches of 256x240"
    return rows, sets
