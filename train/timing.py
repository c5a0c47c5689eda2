"""How many crops one core makes, and what share of the machine's rate a training step reaches.

Time is that of the process on the processor, so that what else runs on the machine counts little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import cv2
import msgspec
import torch
from torch.utils.flop_counter import FlopCounterMode

from runtime.version import __version__
from train.config import DataConfig, Execution, TrainConfig
from train.data.crops import CropDataset
from train.data.layouts import Pictures
from train.device import computes_bfloat16
from train.loop import compile_networks, open_fabric
from train.network import PICTURE_CHANNELS, Model
from train.run import new_run
from train.step import Objective, learn, update

# Shapes (channels, side) of a 3x3 convolution: the best of them is what the machine can do.
_PROBES = ((32, 96), (64, 64), (128, 48), (256, 32))
_PROBE_BATCH = 8
# The first call after something else finds cold caches, which a network's own layers do not.
_PROBE_CALLS = 5

# What a step's time goes to, by the beginning of the operators' names; the first that fits counts.
_KINDS = {
    "aten::mkldnn_convolution": "convolutions",
    "aten::convolution_backward": "convolutions",
    "mkldnn::": "convolutions",
    "aten::silu": "SiLU",
    "aten::cat": "concatenation",
    "aten::add": "additions",
    "aten::sum": "additions",
    "aten::copy_": "copies and casts",
    "aten::avg_pool": "resampling",
    "aten::upsample": "resampling",
    "aten::addmm": "level embedding",
    "aten::mm": "level embedding",
}
_OTHER = "other operators, Python and autograd"
_UPDATE = "clipping, optimizers and average"


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
    """Training steps of one preset on the CPU, in autocast to ``dtype``.

    ``gflop_per_step`` is the work of both networks, forward and backward, a multiplication and an
    addition being two operations; ``gflop_per_s`` is that over the time of a whole step, with
    noise, clipping, optimizers and average. ``convolution_gflop_per_s`` is the best rate of a few
    3x3 convolutions, forward and backward, in that type and channels-last. ``share`` is the rate of
    whole steps over it, ``networks_share`` that of forward and backward alone.
    ``convolutions_share`` is what would be reached if nothing but the networks' own convolutions
    took time. ``share_of_time`` says by kind of work where the time goes.
    """

    preset: str
    batch: int
    crop_px: int
    threads: int
    rounds: int
    compiled: bool
    gflop_per_step: float
    crops_per_s: float
    gflop_per_s: float
    convolution_gflop_per_s: float
    share: float
    networks_share: float
    convolutions_share: float
    share_of_time: dict[str, float]
    dtype: str = "bfloat16"
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
    config: TrainConfig, *, rounds: int, threads: int, preset: str, compiled: bool = False
) -> StepSpeed:
    """Time ``rounds`` whole steps of ``config``, and as many of each probe, in turns; on the CPU.

    ``config.data.crop_px`` must be a multiple of what the networks take; ``preset`` is only noted.
    """
    with _threads(threads):
        model, *halves = _make_step(config)
        calls = (halves[0], *(_make_probe(channels, side) for channels, side in _PROBES))
        # Before compiling, which hides the operators from the counter.
        work = [_count_flops(call) for call in calls]
        if compiled:
            compile_networks(model)
            calls[0]()
        seconds = _take_turns((*calls, halves[1]), rounds)
        kinds = _profile(*halves)
    whole = seconds[0] + seconds[-1]
    fastest = max(flops / taken for flops, taken in zip(work[1:], seconds[1:-1], strict=True))
    shares = {kind: share * seconds[0] / whole for kind, share in kinds.items()}
    share = work[0] / whole / fastest
    return StepSpeed(
        preset=preset,
        batch=config.batch,
        crop_px=config.data.crop_px,
        threads=threads,
        rounds=rounds,
        compiled=compiled,
        gflop_per_step=round(work[0] / 1e9, 4),
        crops_per_s=round(config.batch / whole, 2),
        gflop_per_s=round(work[0] / whole / 1e9, 3),
        convolution_gflop_per_s=round(fastest / 1e9, 3),
        share=round(share, 4),
        networks_share=round(share * whole / seconds[0], 4),
        convolutions_share=round(share / shares["convolutions"], 4),
        share_of_time={
            kind: round(part, 4) for kind, part in {**shares, _UPDATE: seconds[-1] / whole}.items()
        },
        dtype=str(_probe_dtype()).removeprefix("torch."),
    )


def _make_step(config: TrainConfig) -> tuple[Model, Callable[[], None], Callable[[], None]]:
    """A model and the two halves of its training step: gradients, and what they change."""
    fabric = open_fabric(config, Execution(accelerator="cpu"))
    run = new_run(config)
    objective, *optimizers = fabric.setup(
        Objective(run.model, config.loss), *run.optimizers.values()
    )
    shape = (config.batch, PICTURE_CHANNELS, config.data.crop_px, config.data.crop_px)
    blurred, sharp = (torch.randint(256, shape, dtype=torch.uint8) for _ in range(2))

    def gradients() -> None:
        learn(fabric, objective, config, 0, [(blurred, sharp)])

    def change() -> None:
        update(
            run.model,
            run.average,
            optimizers,
            learning_rate=config.learning_rate,
            clip_norm=config.clip_norm,
        )

    return run.model, gradients, change


def _take_turns(calls: Sequence[Callable[[], None]], rounds: int) -> list[float]:
    """Processor seconds of one call of each: what else the machine does slows all of them alike."""
    seconds = [0.0] * len(calls)
    for _ in range(rounds):
        for index, call in enumerate(calls):
            with _clock() as taken:
                call()
            seconds[index] += taken[0] / rounds
    return seconds


def _profile(learn: Callable[[], None], update: Callable[[], None]) -> dict[str, float]:
    """By kind of work, the share of the time of ``learn``, which is called once."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        learn()
    update()
    kinds = dict.fromkeys([*_KINDS.values(), _OTHER], 0.0)
    for event in profiler.key_averages():
        kind = next((k for start, k in _KINDS.items() if event.key.startswith(start)), _OTHER)
        kinds[kind] += event.self_cpu_time_total
    total = sum(kinds.values())
    return {kind: taken / total for kind, taken in kinds.items()}


def _probe_dtype() -> torch.dtype:
    return torch.bfloat16 if computes_bfloat16("cpu") else torch.float32


def _make_probe(channels: int, side_px: int) -> Callable[[], None]:
    dtype = _probe_dtype()
    layer = torch.nn.Conv2d(channels, channels, 3, padding=1, dtype=dtype)
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(_PROBE_BATCH, channels, side_px, side_px, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    gradient = torch.ones_like(x)

    def probe() -> None:
        for _ in range(_PROBE_CALLS):
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
