"""All that changes while training: begun afresh, from weights or from a checkpoint, and saved."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from runtime.errors import CheckpointError
from train import checkpoint
from train.checkpoint import Card, Stage
from train.config import TrainConfig
from train.data.layouts import Pictures
from train.network import Model
from train.optimizer import build_optimizers
from train.provenance import fingerprint
from train.transfer import copy_predictor, grow

LAST = "last.safetensors"
MODEL = "model.safetensors"
BEST = "best.safetensors"


@dataclass
class Run:
    """All that changes while training; ``earlier`` are the stages behind the starting weights.

    The optimizers were fresh at step ``fresh_from``. ``files`` are the pictures' checksums by name,
    ``waited_s`` the time that the last step waited for its crops.
    """

    model: Model
    average: AveragedModel
    optimizers: dict[str, torch.optim.Optimizer]
    earlier: tuple[Stage, ...] = ()
    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    best_db: float | None = None
    fresh_from: int = 0
    files: dict[str, str] = field(default_factory=dict)
    waited_s: float = 0.0
    smoothed_loss: float = field(default=math.nan)


def start_run(
    config: TrainConfig,
    folder: Path,
    init: Path | None,
    device: torch.device | str = "cpu",
    *,
    resume: Path | None = None,
) -> Run:
    """The unfinished run of ``folder``, or that behind the weights ``resume``, or a fresh one."""
    run = new_run(config, device, init)
    if (folder / LAST).exists():
        _resume(run, config, folder / LAST)
    elif resume is not None:
        _go_on(run, config, resume)
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
    if config.loss.predictor_frozen and model.predictor is not None:
        model.predictor.requires_grad_(False)
    earlier: tuple[Stage, ...] = ()
    if init is not None:
        weights, card = checkpoint.load_tensors(init)
        grown = grow(weights, card.config.model, config.model, config.seed)
        checkpoint.load_weights(model, grown, init)
        if config.denoiser_from_predictor:
            copy_predictor(model)
        earlier = card.stages
    blend = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=blend)
    return Run(model, average, build_optimizers(model, config.learning_rate), earlier)


def _go_on(run: Run, config: TrainConfig, path: Path) -> None:
    """Go on from averaged weights alone: the optimizers know nothing yet and warm up again."""
    tensors, card = checkpoint.load_tensors(path)
    _check_same(config, card, path)
    for model in (run.model, run.average.module):
        checkpoint.load_weights(model, tensors, path)
    _take_over(run, card)
    run.fresh_from = card.step


def _check_same(config: TrainConfig, card: Card, path: Path) -> None:
    if card.config != config:
        raise CheckpointError(
            f"{path} belongs to another configuration; choose another folder with -o, "
            "or repeat the options of that run"
        )


def _take_over(run: Run, card: Card) -> None:
    run.step, run.skipped, run.best_db = card.step, card.skipped, card.best_db
    run.earlier, run.seconds = card.stages[:-1], card.stages[-1].seconds


def _resume(run: Run, config: TrainConfig, path: Path) -> None:
    tensors, card = checkpoint.load_tensors(path)
    _check_same(config, card, path)
    checkpoint.load_weights(run.model, checkpoint.below_prefix("model", tensors), path)
    checkpoint.load_weights(run.average.module, checkpoint.below_prefix("average", tensors), path)
    for name, optimizer in run.optimizers.items():
        checkpoint.restore_optimizer(optimizer, checkpoint.below_prefix(name, tensors))
    # The average's own counter decides whether its next update copies or blends.
    run.average.n_averaged.fill_(card.step - card.skipped)
    _take_over(run, card)


def save_run(run: Run, config: TrainConfig, pictures: Pictures, folder: Path) -> None:
    """Write ``model.safetensors`` (averaged weights), then ``last.safetensors``."""
    card = make_card(run, config, pictures)
    average = run.average.module.state_dict()
    checkpoint.save_tensors(folder / MODEL, average, card)
    everything = {
        **checkpoint.with_prefix("model", run.model.state_dict()),
        **checkpoint.with_prefix("average", average),
    }
    for name, optimizer in run.optimizers.items():
        everything |= checkpoint.with_prefix(name, checkpoint.flatten_optimizer(optimizer))
    checkpoint.save_tensors(folder / LAST, everything, card)


def make_card(
    run: Run, config: TrainConfig, pictures: Pictures, validation_db: float | None = None
) -> Card:
    """What a checkpoint of ``run`` says of itself: its stages, this one last."""
    stage = Stage(
        config=config,
        crops=run.step * config.batch,
        pictures=len(pictures),
        pictures_sha256=fingerprint(pictures),
        seconds=run.seconds,
        files={} if run.files == _last_files(run.earlier) else run.files,
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


def _last_files(stages: tuple[Stage, ...]) -> dict[str, str]:
    return next((stage.files for stage in reversed(stages) if stage.files), {})
