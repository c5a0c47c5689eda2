"""How many crops one core makes, and what share of the machine's rate a training step reaches.

Time is that of the process on the processor, so that what else runs on the machine counts little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import msgspec
import torch
from torch.utils.flop_counter import FlopCounterMode

from runtime.version import __version__
from train.config import DataConfig, LossConfig, ModelConfig
from train.data import CropDataset
from train.layouts import Pictures
from train.network import PICTURE_CHANNELS, Model
from train.objective import compute_losses
from train.optimizer import build_optimizers

# Shapes (channels, side) of a 3x3 convolution: the best of them is what the machine can do.
_PROBES = ((32, 96), (64, 64), (128, 48), (256, 32))
_PROBE_BATCH = 8


class CropSpeed(msgspec.Struct, frozen=True):
    """Crops per second of one core: ``first`` while pictures are decoded, ``later`` from memory."""

    blur: str
    crop_px: int
    crops: int
    pictures: int
    first_crops_per_s: float
    later_crops_per_s: float
    made_by: str = f"dvsr-edge {__version__}"


class StepSpeed(msgspec.Struct, frozen=True):
    """Training steps of one preset in bfloat16 autocast, on the CPU.

    ``gflop_per_step`` is the work of both networks, forward and backward, a multiplication and an
    addition being two operations. ``convolution_gflop_per_s`` is the best rate of a few 3x3
    convolutions, forward and backward, in bfloat16 and channels-last. ``share`` is the rate of
    whole steps over it, ``networks_share`` that without the optimizers, which take
    ``optimizers_share_of_time``.
    """

    preset: str
    batch: int
    crop_px: int
    threads: int
    rounds: int
    gflop_per_step: float
    crops_per_s: float
    gflop_per_s: float
    convolution_gflop_per_s: float
    share: float
    networks_share: float
    optimizers_share_of_time: float
    device: str = "cpu"
    torch: str = str(torch.__version__)
    made_by: str = f"dvsr-edge {__version__}"


def measure_crops(pictures: Pictures, config: DataConfig, crops: int, *, blur: str) -> CropSpeed:
    """Time ``crops`` crops twice on one core, the second time with the pictures in memory.

    ``blur`` is only noted in the result. Raises DataError and ImageError as CropDataset does.
    """
    dataset = CropDataset(pictures, config, crops, seed=0)

    def rate() -> float:
        with _clock() as seconds:
            for index in range(len(dataset)):
                dataset[index]
        return len(dataset) / seconds[0]

    with _threads(1):
        first, later = rate(), rate()
    return CropSpeed(blur, config.crop_px, crops, len(pictures), round(first, 1), round(later, 1))


def measure_steps(
    model: ModelConfig, batch: int, crop_px: int, *, rounds: int, threads: int, preset: str
) -> StepSpeed:
    """Time ``rounds`` steps of both networks, and as many of each probe, in turns; on the CPU.

    ``crop_px`` must be a multiple of what the networks take. ``preset`` is only noted.
    """
    with _threads(threads):
        learn, update = _make_step(model, batch, crop_px)
        probes = [_make_probe(channels, side) for channels, side in _PROBES]
        work = [_count_flops(call) for call in (learn, *probes)]
        calls = (learn, update, *probes)
        seconds = [0.0] * len(calls)
        # In turns: what else the machine does then slows all of them alike.
        for _ in range(rounds):
            for index, call in enumerate(calls):
                with _clock() as taken:
                    call()
                seconds[index] += taken[0]
    whole = seconds[0] + seconds[1]
    probe_rates = (w * rounds / s for w, s in zip(work[1:], seconds[2:], strict=True))
    fastest, rate = max(probe_rates), work[0] * rounds / whole
    return StepSpeed(
        preset=preset,
        batch=batch,
        crop_px=crop_px,
        threads=threads,
        rounds=rounds,
        gflop_per_step=round(work[0] / 1e9, 4),
        crops_per_s=round(batch * rounds / whole, 2),
        gflop_per_s=round(rate / 1e9, 3),
        convolution_gflop_per_s=round(fastest / 1e9, 3),
        share=round(rate / fastest, 4),
        networks_share=round(rate / fastest * whole / seconds[0], 4),
        optimizers_share_of_time=round(seconds[1] / whole, 3),
    )


def _make_step(
    config: ModelConfig, batch: int, crop_px: int
) -> tuple[Callable[[], None], Callable[[], None]]:
    """The two halves of a training step: forward and backward pass, and the optimizers."""
    torch.manual_seed(0)
    model = Model(config)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = build_optimizers(model, 1e-4).values()
    shape = (batch, PICTURE_CHANNELS, crop_px, crop_px)
    y, x, noise = (
        torch.rand(shape).contiguous(memory_format=torch.channels_last) for _ in range(3)
    )
    level = torch.linspace(-4.0, 9.0, batch)
    loss = LossConfig(pixel=0.0 if model.predictor is None else 1.0)

    def learn() -> None:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            total = compute_losses(model, y, x, level, noise, loss).total
        total.backward()  # type: ignore[no-untyped-call]

    def update() -> None:
        for optimizer in optimizers:
            optimizer.step()

    return learn, update


def _make_probe(channels: int, side_px: int) -> Callable[[], None]:
    layer = torch.nn.Conv2d(channels, channels, 3, padding=1).bfloat16()
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(_PROBE_BATCH, channels, side_px, side_px).bfloat16()
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    gradient = torch.ones_like(x)

    def probe() -> None:
        layer(x).backward(gradient)

    return probe


def _count_flops(call: Callable[[], None]) -> int:
    """Operations of one call, which also warms it up."""
    with FlopCounterMode(display=False) as counter:
        call()
    call()
    return int(counter.get_total_flops())


@contextmanager
def _clock() -> Iterator[list[float]]:
    """A list whose only number is, afterwards, the processor seconds spent inside."""
    seconds = [0.0]
    began = time.process_time()
    yield seconds
    seconds[0] = max(time.process_time() - began, 1e-9)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(count)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])
