"""The training loop: read a batch, take a step, average the weights, save, and go on."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import torch
from torch import nn
from tqdm import tqdm

from runtime.errors import OptionError
from train import checkpoint
from train.config import Execution, TrainConfig
from train.data.batches import Parts, group_parts, open_batches
from train.data.crops import CropDataset
from train.data.layouts import Pictures
from train.device import AnyFabric, OneDevice, choose_device, computes_bfloat16
from train.journal import Entry, Journal
from train.measuring.validation import Validation
from train.network import Model, size_multiple_px
from train.provenance import list_files
from train.run import BEST, MODEL, Run, make_card, save_run, start_run
from train.step import Objective, learn, update
from train.stopping import StopRequest
from train.transfer import check_alike

MakeObjective: TypeAlias = Callable[[Model], nn.Module]


def train(
    config: TrainConfig,
    pictures: Pictures,
    folder: Path,
    *,
    init: Path | None = None,
    resume: Path | None = None,
    save_every: int = 500,
    within_s: float = math.inf,
    on_save: Callable[[Path], None] | None = None,
    progress: bool = True,
    execution: Execution = Execution(),  # noqa: B008 (it is frozen)
    validation: Pictures | None = None,
    objective: MakeObjective | None = None,
    fabric: AnyFabric | None = None,
) -> Path:
    """Train into ``folder`` and return the path of its ``model.safetensors``.

    If ``folder`` holds a run of the same configuration, it goes on from there. ``init`` is a
    checkpoint to take the starting weights from; ``resume`` one of this very configuration that the
    run goes on from with fresh optimizers. SIGTERM and Ctrl-C, and ``within_s`` seconds from now,
    end the run after the step under way, saved as if it had been the last. ``on_save`` is told of
    each ``model.safetensors`` written. ``objective`` makes what is minimised, in place of
    Objective. ``fabric`` is one that was launched. Raises CheckpointError, DataError and
    OptionError.
    """
    deadline = time.monotonic() + within_s
    check_options(config, execution)
    folder.mkdir(parents=True, exist_ok=True)
    if fabric is None:
        fabric = open_fabric(config, execution)
        fabric.launch()
    run = start_run(config, folder, init, fabric.device, resume=resume)
    if is_finished(config, run.step, run.seconds):
        return folder / MODEL
    run.files = list_files(pictures) if fabric.is_global_zero else {}
    if config.bfloat16 and not computes_bfloat16(fabric.device.type) and fabric.is_global_zero:
        told = f"this {fabric.device.type} has no bfloat16 kernels: training in float32"
        tqdm.write(told, file=sys.stderr)
    if execution.compile:
        compile_networks(run.model)
    learned = Objective(run.model, config.loss) if objective is None else objective(run.model)
    module, *optimizers = fabric.setup(learned, *run.optimizers.values())
    dataset = CropDataset(pictures, config.data, config.steps * config.batch, config.seed)
    batches = open_batches(dataset, config, execution, run.step, fabric)
    validator = _open_validation(validation, config, execution) if fabric.is_global_zero else None
    with StopRequest() as stop, _open_journal(fabric, folder, run, execution) as journal:
        bar = tqdm(
            total=config.steps if config.minutes is None else None,
            initial=run.step,
            unit="step",
            disable=not (progress and fabric.is_global_zero),
        )
        began, unreadable, saved_s = time.monotonic() - run.seconds, 0, run.seconds
        for parts in _waited_for(group_parts(batches, execution.accumulate), run):
            entry = _take_step(fabric, module, optimizers, run, config, parts)
            run.seconds = _agree_on(fabric, time.monotonic() - began)
            unreadable = _report_unreadable(dataset, unreadable)
            stopping = _agree(fabric, stop.asked or time.monotonic() >= deadline)
            ended = stopping or is_finished(config, run.step, run.seconds)
            if fabric.is_global_zero:
                shown = _follow(run, entry, bar, config)
                minutes = (run.seconds - saved_s) / 60
                if validator and (
                    _is_due(run, execution.validate_every, execution, minutes) or ended
                ):
                    shown = _validate(run, validator, shown, config, pictures, folder, journal)
                journal.write(shown)
                if _is_due(run, save_every, execution, minutes) or ended:
                    saved_s = run.seconds
                    save_run(run, config, pictures, folder)
                    if on_save:
                        on_save(folder / MODEL)
            if ended:
                break
        bar.close()
    fabric.barrier()
    return folder / MODEL


def open_fabric(config: TrainConfig, execution: Execution) -> AnyFabric:
    """What a run's steps go through: one device, or Fabric for several; not yet launched.

    Where the device has no bfloat16 kernels, the run is one in float32. Raises OptionError for
    options that contradict each other.
    """
    check_options(config, execution)
    kind = choose_device(execution.accelerator).type
    bfloat16 = config.bfloat16 and computes_bfloat16(kind)
    if execution.devices == 1:
        return OneDevice(execution.accelerator, bfloat16=bfloat16)
    from lightning_fabric import Fabric

    return Fabric(
        accelerator=execution.accelerator,
        devices=execution.devices,
        strategy="ddp",
        precision="bf16-mixed" if bfloat16 else "32-true",
    )


def is_finished(config: TrainConfig, step: int, seconds: float) -> bool:
    """Whether a run that took so many steps and seconds has used up what it was given."""
    return step >= config.steps or (config.minutes is not None and seconds >= 60 * config.minutes)


def _is_due(run: Run, every: int, execution: Execution, minutes: float) -> bool:
    """Whether to save or validate: by steps, or by the ``minutes`` since it was last done."""
    if execution.save_minutes is None:
        return run.step % every == 0
    return minutes >= execution.save_minutes


def check_options(config: TrainConfig, execution: Execution) -> None:
    """Raise OptionError for options that contradict each other."""
    if config.model.predictor == "direct" and (config.loss.pixel > 0 or config.loss.denoise == 0):
        raise OptionError(
            "got a pixel loss for a model without predictor, where it teaches nothing; "
            "take the recipe 'paper'"
        )
    if config.denoiser_from_predictor:
        check_alike(config.model)
    crop_px, multiple_px = config.data.crop_px, size_multiple_px(config.model)
    if crop_px < multiple_px or crop_px % multiple_px:
        raise OptionError(
            f"got crops of {crop_px} px; wanted is a multiple of the {multiple_px} px that these "
            "networks take"
        )
    shares = execution.devices * execution.accumulate
    if execution.devices < 1 or execution.accumulate < 1 or config.batch % shares:
        raise OptionError(
            f"got a batch of {config.batch} for {execution.devices} devices x "
            f"{execution.accumulate} parts; wanted is a multiple of both together"
        )
    if execution.workers < 0 or execution.validate_every < 1 or execution.validation_crops < 1:
        raise OptionError(
            f"got {execution.workers} workers, validation of {execution.validation_crops} crops "
            f"every {execution.validate_every} steps; wanted are at least 0, 1 and 1"
        )
    # Where torch.compile looks for one; without it, it would fail in the first step, at length.
    compiler = os.environ.get("CXX", "g++")
    on_cpu = execution.accelerator == "cpu" or not torch.cuda.is_available()
    if execution.compile and on_cpu and shutil.which(compiler) is None:
        raise OptionError(
            f"got --compile, and there is no C++ compiler '{compiler}' to compile with; "
            "install one, name it in CXX, or leave --compile out"
        )


def compile_networks(model: Model) -> None:
    """Run both networks through torch.compile; their parameters keep their names."""
    for network in (model.predictor, model.denoiser):
        if network is not None:
            network.compile()


def _waited_for(groups: Iterable[Parts], run: Run) -> Iterator[Parts]:
    """``groups``, and in the run the time that each was waited for."""
    iterator = iter(groups)
    while True:
        began = time.monotonic()
        group = next(iterator, None)
        if group is None:
            return
        run.waited_s = time.monotonic() - began
        yield group


def _report_unreadable(dataset: CropDataset, known: int) -> int:
    """Name unreadable pictures when there are more than ``known``; returns how many there are."""
    count = dataset.count_corrupt()
    if count > known:
        names = ", ".join(str(path) for path in dataset.corrupt())
        tqdm.write(f"left out, cannot be read ({count}): {names}", file=sys.stderr)
    return count


def _agree_on(fabric: AnyFabric, seconds: float) -> float:
    """One clock for all processes, which take their learning rate from it."""
    if fabric.world_size == 1:
        return seconds
    mean: Any = fabric.all_reduce(torch.tensor(seconds, device=fabric.device))
    return float(mean)


def _agree(fabric: AnyFabric, asked: bool) -> bool:
    """Whether any process was asked to stop: all must stop after the same step."""
    if fabric.world_size == 1:
        return asked
    votes: Any = fabric.all_reduce(
        torch.tensor(float(asked), device=fabric.device), reduce_op="sum"
    )
    return bool(votes > 0)


def _open_validation(
    pictures: Pictures | None, config: TrainConfig, execution: Execution
) -> Validation | None:
    if pictures is None:
        return None
    return Validation(
        pictures,
        config,
        crops=execution.validation_crops,
        crop_px=execution.validation_crop_px,
    )


def _open_journal(
    fabric: AnyFabric, folder: Path, run: Run, execution: Execution
) -> AbstractContextManager[Any]:
    if not fabric.is_global_zero:
        return nullcontext()
    return Journal(folder, run.step, tensorboard=execution.tensorboard)


def _validate(
    run: Run,
    validation: Validation,
    entry: Entry,
    config: TrainConfig,
    pictures: Pictures,
    folder: Path,
    journal: Journal,
) -> Entry:
    """Measure the averaged weights, keep them if none were better, and note the PSNR."""
    average = run.average.module
    assert isinstance(average, Model)
    validated = validation.measure(average)
    journal.show("blurred, predicted, deblurred, sharp", validated.grid, run.step)
    if run.best_db is None or validated.db > run.best_db:
        run.best_db = validated.db
        card = make_card(run, config, pictures, validated.db)
        checkpoint.save_tensors(folder / BEST, run.average.module.state_dict(), card)
    return msgspec.structs.replace(
        entry, validation_db=validated.db, blurred_db=validation.blurred_db
    )


def _take_step(
    fabric: AnyFabric,
    objective: Any,
    optimizers: list[torch.optim.Optimizer],
    run: Run,
    config: TrainConfig,
    parts: Parts,
) -> Entry:
    """One optimizer step over the ``parts`` of this process's share of the batch, in uint8."""
    losses = learn(fabric, objective, config, run.step, parts)
    learning_rate = config.learning_rate * anneal(run, config)
    norm = update(
        run.model, run.average, optimizers, learning_rate=learning_rate, clip_norm=config.clip_norm
    )
    run.step += 1
    run.skipped += not math.isfinite(norm)
    means: Any = fabric.all_reduce(losses)
    return Entry(
        run.step,
        **{name: float(value) for name, value in means.items()},
        learning_rate=learning_rate,
        gradient_norm=norm,
        skipped=run.skipped,
    )


def schedule(step: int, config: TrainConfig) -> float:
    """Factor on the learning rate: linear warm-up, then a half cosine down to zero."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    span = max(1, config.steps - config.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * (step - config.warmup_steps) / span))


def anneal(run: Run, config: TrainConfig) -> float:
    """Factor on the learning rate of the next step: by the steps taken, or by the time spent.

    Where the optimizers started afresh in the middle of a run, they warm up once more.
    """
    if config.minutes is None:
        factor = schedule(run.step, config)
    else:
        spent = min(1.0, run.seconds / (60 * config.minutes))
        factor = 0.5 * (1.0 + math.cos(math.pi * spent))
    return min(factor, (run.step + 1 - run.fresh_from) / max(1, config.warmup_steps))


def _follow(run: Run, entry: Entry, bar: tqdm[Any], config: TrainConfig) -> Entry:
    """Move the bar, and return ``entry`` with the speed that it shows."""
    if entry.loss is not None and math.isfinite(entry.loss):
        fresh = math.isnan(run.smoothed_loss)
        run.smoothed_loss = entry.loss if fresh else 0.99 * run.smoothed_loss + 0.01 * entry.loss
    bar.update()
    rate = (bar.format_dict["rate"] or 0.0) * config.batch
    best = "" if run.best_db is None else f", best {run.best_db:.2f} dB"
    left = "" if config.minutes is None else f", {run.seconds / 60:.1f} of {config.minutes:g} min"
    bar.set_postfix_str(
        f"loss {run.smoothed_loss:.4f}, {rate:.1f} crops/s, {run.skipped} skipped{best}{left}",
        refresh=False,
    )
    return msgspec.structs.replace(
        entry, crops_per_s=rate, seconds=round(run.seconds, 3), waited_s=round(run.waited_s, 3)
    )
