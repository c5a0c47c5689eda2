"""Students of a denoiser: taught one after another, and measured against their teacher."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from runtime.errors import DataError
from runtime.images import read_image
from runtime.samplers import SamplerConfig, compile_table, guess_sampler
from train.checkpoint import load_card, load_model
from train.config import DistillConfig, Execution, TrainConfig
from train.data.layouts import Pictures
from train.lessons import Distillation, few_steps
from train.loop import open_fabric, train
from train.measuring.inference import TorchEngine
from train.measuring.metrics import Metrics, open_metrics, psnr
from train.measuring.sampling import Pair, average_samples, to_pair
from train.network import Model
from train.stages import is_done

METRICS = ("ssim", "blur_effect")
SEED = 0

# What the other presets of a bundle are made of.
_MANY_STEPS = guess_sampler(10, 3.0)


class Measured(msgspec.Struct, frozen=True):
    """Means over the validation pairs of one sample of ``sampler``, by ``weights``."""

    weights: str
    steps: int
    values: dict[str, float]
    sampler: SamplerConfig


class Result(msgspec.Struct, frozen=True):
    """What ``distill.json`` holds; ``gain_db`` is the student's over the teacher at equal steps."""

    made_by: str
    commit: str | None
    teacher_sha256: str
    data: str
    data_sha256: str
    pictures: int
    seed: int
    versions: dict[str, str]
    not_measured: dict[str, str]
    blurred: dict[str, float]
    measured: tuple[Measured, ...]
    realtime_steps: int
    gain_db: float
    result: str


def teach(
    teacher: Path, pictures: Pictures, folder: Path, rounds: Sequence[TrainConfig], **options: Any
) -> dict[int, Path]:
    """Train one student after another; returns their checkpoints by steps, the finished ones.

    Each has a folder of its own inside ``folder``, and goes on there if it was stopped. ``options``
    are those of :func:`train.loop.train`. Raises as it does.
    """
    fabric = open_fabric(rounds[0], options.get("execution", Execution()))
    fabric.launch()
    students: dict[int, Path] = {}
    for config in rounds:
        assert config.distill is not None, "a round is one of distillation"
        written = train(
            config,
            pictures,
            folder / f"{config.distill.steps}-steps",
            init=teacher,
            objective=partial(_to_objective, teacher=teacher, config=config.distill),
            fabric=fabric,
            **options,
        )
        if not is_done(load_card(written)):
            break
        students[config.distill.steps] = teacher = written
    return students


def _to_objective(model: Model, teacher: Path, config: DistillConfig) -> Distillation:
    taught = load_model(teacher)[0]
    taught.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Distillation(model, taught, config)


def measure(
    model: Model, sampler: SamplerConfig, pairs: Sequence[Pair], metrics: Metrics
) -> dict[str, float]:
    """Means over ``pairs`` of PSNR and ``metrics`` for one sample, by name."""
    engine = TorchEngine(model)
    table = compile_table(sampler, model.config.prediction)
    shown = [(next(average_samples(engine, p, table, [1], SEED))[1], p.sharp) for p in pairs]
    return _means(shown, metrics)


def _means(shown: Sequence[tuple[Any, Any]], metrics: Metrics) -> dict[str, float]:
    functions = {"psnr": lambda picture, sharp: psnr(sharp, picture), **metrics.pictures}
    return {
        name: round(float(np.mean([function(*both) for both in shown])), 4)
        for name, function in functions.items()
    }


def compare(
    teacher: Path, students: dict[int, Path], rounds: Sequence[TrainConfig], pictures: Pictures
) -> tuple[dict[str, float], list[Measured], dict[str, str]]:
    """The blurred pictures, teacher and students at equal steps, and metrics left out and why."""
    if pictures.blurred is None:
        raise DataError("got sharp pictures alone; wanted are the folders blur/ and sharp/")
    metrics = open_metrics(METRICS)
    model = _on_device(teacher)
    engine, multiple = TorchEngine(model), model.size_multiple_px
    shown = [
        (read_image(blurred), read_image(sharp))
        for blurred, sharp in zip(pictures.blurred, pictures.sharp, strict=True)
    ]
    # The predictor is the same for all.
    pairs = [to_pair(engine, blurred, sharp, multiple) for blurred, sharp in shown]
    measured: list[Measured] = []

    def add(name: str, weights: Model, sampler: SamplerConfig) -> None:
        values = measure(weights, sampler, pairs, metrics)
        measured.append(Measured(name, sampler.steps, values, sampler))

    add("teacher", model, SamplerConfig(steps=0))
    add("teacher", model, _MANY_STEPS)
    for config in rounds:
        assert config.distill is not None, "a round is one of distillation"
        student = _on_device(students[config.distill.steps])
        sampler = few_steps(config.distill)
        add("teacher", model, sampler)
        add(_name(config.distill.steps), student, sampler)
        add(_name(config.distill.steps), student, _MANY_STEPS)
    return _means(shown, metrics), measured, metrics.missing


def _name(steps: int) -> str:
    return f"student of {steps} step{'s' if steps > 1 else ''}"


def _on_device(path: Path) -> Model:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_model(path)[0].to(device)


def to_table(blurred: dict[str, float], measured: Sequence[Measured]) -> str:
    """The measurements for people, as Markdown."""
    names = list(blurred)
    lines = [
        f"| weights | sampler | {' | '.join(names)} |",
        "|---" * (2 + len(names)) + "|",
        f"| the blurred pictures | | {' | '.join(f'{blurred[name]:.3f}' for name in names)} |",
    ]
    for entry in measured:
        sampler = f"{entry.steps} {entry.sampler.method}" if entry.steps else "predictor alone"
        values = " | ".join(f"{entry.values[name]:.3f}" for name in names)
        lines.append(f"| {entry.weights} | {sampler} | {values} |")
    return "\n".join(lines)


def gain_db(measured: Sequence[Measured], sampler: SamplerConfig) -> float:
    """PSNR of the student less that of the teacher, with one sampler."""
    found = {entry.weights: entry for entry in measured if entry.sampler == sampler}
    student = found[_name(sampler.steps)]
    return round(student.values["psnr"] - found["teacher"].values["psnr"], 4)
