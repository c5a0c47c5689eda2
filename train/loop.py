"""The training loop: read a batch, take a step, average the weights, save, and go on."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import msgspec
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Sampler
from tqdm import tqdm

from runtime.errors import CheckpointError, DvsrError, OptionError
from train import checkpoint
from train.checkpoint import Card, Stage
from train.config import Execution, TrainConfig
from train.data import CropDataset, Pictures
from train.journal import Entry, Journal
from train.network import Model
from train.optimizer import build_optimizers
from train.provenance import fingerprint
from train.step import Objective, Parts, learn, update
from train.stopping import StopRequest, leave_signals_to_parent
from train.validation import Validation

LAST = "last.safetensors"
MODEL = "model.safetensors"
BEST = "best.safetensors"


@dataclass
class Run:
    """All that changes while training; ``earlier`` are the stages behind the starting weights."""

    model: Model
    average: AveragedModel
    optimizers: dict[str, torch.optim.Optimizer]
    earlier: tuple[Stage, ...] = ()
    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    best_db: float | None = None
    smoothed_loss: float = field(default=math.nan)


def train(
    config: TrainConfig,
    pictures: Pictures,
    folder: Path,
    *,
    init: Path | None = None,
    save_every: int = 500,
    progress: bool = True,
    execution: Execution = Execution(),  # noqa: B008 (it is frozen)
    validation: Pictures | None = None,
) -> Path:
    """Train into ``folder`` and return the path of its ``model.safetensors``.

    If ``folder`` holds a run of the same configuration, it goes on from there. ``init`` is a
    checkpoint to take the starting weights from. SIGTERM and Ctrl-C end the run after the step
    under way, saved as if it had been the last. Raises CheckpointError, DataError and OptionError.
    """
    check_options(config, execution)
    folder.mkdir(parents=True, exist_ok=True)
    fabric = open_fabric(config, execution)
    fabric.launch()
    run = start_run(config, folder, init, fabric.device)
    if execution.compile:
        compile_networks(run.model)
    objective, *optimizers = fabric.setup(
        Objective(run.model, config.loss), *run.optimizers.values()
    )
    dataset = CropDataset(pictures, config.data, config.steps * config.batch, config.seed)
    batches = _batches(dataset, config, execution, run.step, fabric)
    validator = _open_validation(validation, config, execution) if fabric.is_global_zero else None
    with StopRequest() as stop, _open_journal(fabric, folder, run, execution) as journal:
        bar = tqdm(
            total=config.steps,
            initial=run.step,
            unit="step",
            disable=not (progress and fabric.is_global_zero),
        )
        began, unreadable = time.monotonic() - run.seconds, 0
        for parts in _grouped(batches, execution.accumulate):
            entry = _take_step(fabric, objective, optimizers, run, config, parts)
            run.seconds = time.monotonic() - began
            unreadable = _report_unreadable(dataset, unreadable)
            stopping = _agree(fabric, stop.asked)
            ended = stopping or run.step == config.steps
            if fabric.is_global_zero:
                shown = _follow(run, entry, bar, config)
                if validator and (run.step % execution.validate_every == 0 or ended):
                    shown = _validate(run, validator, shown, config, pictures, folder, journal)
                journal.write(shown)
                if run.step % save_every == 0 or ended:
                    save_run(run, config, pictures, folder)
            if stopping:
                break
        bar.close()
    return folder / MODEL


def check_options(config: TrainConfig, execution: Execution) -> None:
    """Raise OptionError for options that contradict each other."""
    if config.model.predictor == "direct" and (config.loss.pixel > 0 or config.loss.denoise == 0):
        raise OptionError(
            "got a pixel loss for a model without predictor, where it teaches nothing; "
            "take the recipe 'paper'"
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


def open_fabric(config: TrainConfig, execution: Execution) -> Fabric:
    """The engine that a run's steps go through: its devices and its precision; not yet launched."""
    return Fabric(
        accelerator=execution.accelerator,
        devices=execution.devices,
        strategy="ddp" if execution.devices > 1 else "auto",
        precision="bf16-mixed" if config.bfloat16 else "32-true",
    )


def compile_networks(model: Model) -> None:
    """Run both networks through torch.compile; their parameters keep their names."""
    for network in (model.predictor, model.denoiser):
        if network is not None:
            network.compile()


def start_run(
    config: TrainConfig, folder: Path, init: Path | None, device: torch.device | str = "cpu"
) -> Run:
    """A fresh run, one from the weights of ``init``, or the unfinished one of ``folder``."""
    run = new_run(config, device, init)
    if (folder / LAST).exists():
        _resume(run, config, folder / LAST)
    return run


def new_run(
    config: TrainConfig, device: torch.device | str = "cpu", init: Path | None = None
) -> Run:
    """A run of which no step was taken, on ``device``; raises CheckpointError for ``init``."""
    torch.manual_seed(config.seed)
    model = Model(config.model)
    # To the device before the optimizers are made: Muon holds views of the weights' memory.
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.loss.denoise == 0:
        model.denoiser.requires_grad_(False)
    earlier: tuple[Stage, ...] = ()
    if init is not None:
        weights, card = checkpoint.load_tensors(init)
        checkpoint.load_weights(model, weights, init)
        earlier = card.stages
    blend = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=blend)
    return Run(model, average, build_optimizers(model, config.learning_rate), earlier)


def _resume(run: Run, config: TrainConfig, path: Path) -> None:
    tensors, card = checkpoint.load_tensors(path)
    if card.config != config:
        raise CheckpointError(
            f"{path} belongs to another configuration; choose another folder with -o, "
            "or repeat the options of that run"
        )
    checkpoint.load_weights(run.model, checkpoint.below_prefix("model", tensors), path)
    checkpoint.load_weights(run.average.module, checkpoint.below_prefix("average", tensors), path)
    for name, optimizer in run.optimizers.items():
        checkpoint.restore_optimizer(optimizer, checkpoint.below_prefix(name, tensors))
    # The average's own counter decides whether its next update copies or blends.
    run.average.n_averaged.fill_(card.step - card.skipped)
    run.step, run.skipped, run.best_db = card.step, card.skipped, card.best_db
    run.earlier, run.seconds = card.stages[:-1], card.stages[-1].seconds


def save_run(run: Run, config: TrainConfig, pictures: Pictures, folder: Path) -> None:
    """Write ``model.safetensors`` (averaged weights), then ``last.safetensors``."""
    card = _make_card(run, config, pictures)
    average = run.average.module.state_dict()
    checkpoint.save_tensors(folder / MODEL, average, card)
    everything = {
        **checkpoint.with_prefix("model", run.model.state_dict()),
        **checkpoint.with_prefix("average", average),
    }
    for name, optimizer in run.optimizers.items():
        everything |= checkpoint.with_prefix(name, checkpoint.flatten_optimizer(optimizer))
    checkpoint.save_tensors(folder / LAST, everything, card)


def _make_card(
    run: Run, config: TrainConfig, pictures: Pictures, validation_db: float | None = None
) -> Card:
    stage = Stage(
        config, run.step * config.batch, len(pictures), fingerprint(pictures), run.seconds
    )
    return Card(
        checkpoint.FORMAT,
        config,
        run.step,
        (*run.earlier, stage),
        run.skipped,
        validation_db,
        run.best_db,
    )


class _Order(Sampler[int]):
    """Indices of one process: of each step's batch, its share, from step ``start`` on."""

    def __init__(self, config: TrainConfig, start: int, rank: int, devices: int) -> None:
        self._steps = range(start, config.steps)
        self._batch = config.batch
        self._share = config.batch // devices
        self._offset = rank * self._share

    def __len__(self) -> int:
        return len(self._steps) * self._share

    def __iter__(self) -> Iterator[int]:
        for step in self._steps:
            first = step * self._batch + self._offset
            yield from range(first, first + self._share)


def _batches(
    dataset: CropDataset, config: TrainConfig, execution: Execution, start: int, fabric: Fabric
) -> Any:
    # OpenCV's threads do not survive a fork: a worker that inherits their pool hangs when it first
    # touches it. One thread has no pool, and decoding shares the cores with the network anyway.
    cv2.setNumThreads(1)
    loader = DataLoader(
        dataset,
        batch_size=config.batch // (fabric.world_size * execution.accumulate),
        sampler=_Order(config, start, fabric.global_rank, fabric.world_size),
        num_workers=execution.workers,
        prefetch_factor=8 if execution.workers else None,
        worker_init_fn=_quiet_worker,
    )
    return fabric.setup_dataloaders(loader, use_distributed_sampler=False)


def _grouped(
    batches: Iterable[tuple[Tensor, Tensor]], parts: int
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """The parts of one step after another; raises a worker's error as if it were our own."""
    iterator = iter(batches)
    while True:
        try:
            group = list(islice(iterator, parts))
        except DvsrError as error:
            # A worker's error arrives with its traceback for a message; the last line is ours.
            raise type(error)(str(error).strip().splitlines()[-1].split("Error: ", 1)[-1]) from None
        if not group:
            return
        yield group


def _report_unreadable(dataset: CropDataset, known: int) -> int:
    """Name unreadable pictures when there are more than ``known``; returns how many there are."""
    count = dataset.count_corrupt()
    if count > known:
        names = ", ".join(str(path) for path in dataset.corrupt())
        tqdm.write(f"left out, cannot be read ({count}): {names}", file=sys.stderr)
    return count


def _agree(fabric: Fabric, asked: bool) -> bool:
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
    fabric: Fabric, folder: Path, run: Run, execution: Execution
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
        card = _make_card(run, config, pictures, validated.db)
        checkpoint.save_tensors(folder / BEST, run.average.module.state_dict(), card)
    return msgspec.structs.replace(entry, validation_db=validated.db)


def _quiet_worker(_: int) -> None:
    torch.set_num_threads(1)
    leave_signals_to_parent()


def _take_step(
    fabric: Fabric,
    objective: Any,
    optimizers: list[torch.optim.Optimizer],
    run: Run,
    config: TrainConfig,
    parts: Parts,
) -> Entry:
    """One optimizer step over the ``parts`` of this process's share of the batch, in uint8."""
    losses = learn(fabric, objective, config, run.step, parts)
    learning_rate = config.learning_rate * schedule(run.step, config)
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


def _follow(run: Run, entry: Entry, bar: tqdm[Any], config: TrainConfig) -> Entry:
    """Move the bar, and return ``entry`` with the speed that it shows."""
    if entry.loss is not None and math.isfinite(entry.loss):
        fresh = math.isnan(run.smoothed_loss)
        run.smoothed_loss = entry.loss if fresh else 0.99 * run.smoothed_loss + 0.01 * entry.loss
    bar.update()
    rate = (bar.format_dict["rate"] or 0.0) * config.batch
    best = "" if run.best_db is None else f", best {run.best_db:.2f} dB"
    bar.set_postfix_str(
        f"loss {run.smoothed_loss:.4f}, {rate:.1f} crops/s, {run.skipped} skipped{best}",
        refresh=False,
    )
    return msgspec.structs.replace(entry, crops_per_s=rate)
