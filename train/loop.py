"""The training loop: read a batch, take a step, average the weights, save, and go on."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from runtime.errors import CheckpointError
from train import checkpoint
from train.checkpoint import Card, Stage
from train.config import TrainConfig
from train.data import CropDataset, Pictures
from train.network import Model
from train.objective import Losses, compute_losses, draw_levels
from train.optimizer import build_optimizers

LAST = "last.safetensors"
MODEL = "model.safetensors"


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
    smoothed_loss: float = field(default=math.nan)


def train(
    config: TrainConfig,
    pictures: Pictures,
    folder: Path,
    *,
    init: Path | None = None,
    save_every: int = 500,
    progress: bool = True,
) -> Path:
    """Train into ``folder`` and return the path of its ``model.safetensors``.

    If ``folder`` holds a run of the same configuration, it goes on from there. ``init`` is a
    checkpoint to take the starting weights from. Raises CheckpointError and DataError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fabric = Fabric(
        accelerator="auto", devices=1, precision="bf16-mixed" if config.bfloat16 else "32-true"
    )
    run = start_run(config, folder, init)
    model, *optimizers = fabric.setup(run.model, *run.optimizers.values())
    model.mark_forward_method("predict")
    model.mark_forward_method("denoise")
    bar = tqdm(total=config.steps, initial=run.step, unit="step", disable=not progress)
    began = time.monotonic() - run.seconds
    for y, x in fabric.setup_dataloaders(_batches(config, pictures, run.step)):
        losses = _take_step(fabric, model, optimizers, run, config, _to_model(y), _to_model(x))
        _follow(run, losses, bar, config)
        run.seconds = time.monotonic() - began
        if run.step % save_every == 0 or run.step == config.steps:
            save_run(run, config, pictures, folder)
    bar.close()
    return folder / MODEL


def start_run(config: TrainConfig, folder: Path, init: Path | None) -> Run:
    """A fresh run, one from the weights of ``init``, or the unfinished one of ``folder``."""
    torch.manual_seed(config.seed)
    model = Model(config.model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.loss.denoise == 0:
        model.denoiser.requires_grad_(False)
    earlier: tuple[Stage, ...] = ()
    if init is not None:
        weights, card = checkpoint.load_tensors(init)
        checkpoint.load_weights(model, weights, init)
        earlier = card.stages
    blend = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=blend)
    run = Run(model, average, build_optimizers(model, config.learning_rate), earlier)
    if (folder / LAST).exists():
        _resume(run, config, folder / LAST)
    return run


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
    run.average.n_averaged.fill_(card.step)
    run.step = card.step
    run.earlier, run.seconds = card.stages[:-1], card.stages[-1].seconds


def save_run(run: Run, config: TrainConfig, pictures: Pictures, folder: Path) -> None:
    """Write ``model.safetensors`` (averaged weights), then ``last.safetensors``."""
    stage = Stage(
        config, run.step * config.batch, len(pictures), _fingerprint(pictures), run.seconds
    )
    card = Card(checkpoint.FORMAT, config, run.step, (*run.earlier, stage))
    average = run.average.module.state_dict()
    checkpoint.save_tensors(folder / MODEL, average, card)
    everything = {
        **checkpoint.with_prefix("model", run.model.state_dict()),
        **checkpoint.with_prefix("average", average),
    }
    for name, optimizer in run.optimizers.items():
        everything |= checkpoint.with_prefix(name, checkpoint.flatten_optimizer(optimizer))
    checkpoint.save_tensors(folder / LAST, everything, card)


def _fingerprint(pictures: Pictures) -> str:
    """sha256 over the files' names: which pictures, not where they lay."""
    names = "\n".join(path.name for path in pictures.sharp)
    return hashlib.sha256(names.encode()).hexdigest()


def _batches(
    config: TrainConfig, pictures: Pictures, start: int
) -> DataLoader[tuple[Tensor, Tensor]]:
    dataset = CropDataset(pictures, config.data, config.steps * config.batch, config.seed)
    return DataLoader(
        dataset,
        batch_size=config.batch,
        sampler=range(start * config.batch, config.steps * config.batch),
        num_workers=1,
        prefetch_factor=8,
        worker_init_fn=_quiet_worker,
    )


def _quiet_worker(_: int) -> None:
    # Decoding shares the cores with the network.
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _to_model(batch: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) to float32 in [-1, 1], channels last."""
    return (batch.float() / 127.5 - 1.0).contiguous(memory_format=torch.channels_last)


def _take_step(
    fabric: Fabric,
    model: Model,
    optimizers: list[torch.optim.Optimizer],
    run: Run,
    config: TrainConfig,
    y: Tensor,
    x: Tensor,
) -> Losses:
    level, noise = _draws(config, run.step, x)
    with fabric.autocast():
        losses = compute_losses(model, y, x, level, noise, config.loss)
    fabric.backward(losses.total)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    factor = schedule(run.step, config)
    run.step += 1
    if torch.isfinite(norm):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * factor
            optimizer.step()
        run.average.update_parameters(run.model)
    else:
        run.skipped += 1
    for optimizer in optimizers:
        optimizer.zero_grad()
    return losses


def _draws(config: TrainConfig, step: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """Levels (N,) and noise like ``x``, functions of (seed, step) and nothing else."""
    rng = np.random.default_rng((config.seed, step, 1))
    level = draw_levels(len(x), rng)
    noise = torch.from_numpy(rng.standard_normal(tuple(x.shape), dtype=np.float32))
    return level.to(x.device), noise.to(x).contiguous(memory_format=torch.channels_last)


def schedule(step: int, config: TrainConfig) -> float:
    """Factor on the learning rate: linear warm-up, then a half cosine down to zero."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    span = max(1, config.steps - config.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * (step - config.warmup_steps) / span))


def _follow(run: Run, losses: Losses, bar: tqdm[Any], config: TrainConfig) -> None:
    value = float(losses.total.detach())
    if math.isfinite(value):
        fresh = math.isnan(run.smoothed_loss)
        run.smoothed_loss = value if fresh else 0.99 * run.smoothed_loss + 0.01 * value
    bar.update()
    rate = (bar.format_dict["rate"] or 0.0) * config.batch
    bar.set_postfix_str(
        f"loss {run.smoothed_loss:.4f}, {rate:.1f} crops/s, {run.skipped} skipped", refresh=False
    )
