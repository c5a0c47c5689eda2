"""Batches for the loop: which crops each process gets, made ahead by processes of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeAlias

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from runtime.errors import DvsrError
from train.config import Execution, TrainConfig
from train.data.crops import CropDataset
from train.device import AnyFabric
from train.stopping import leave_signals_to_parent

Parts: TypeAlias = list[tuple[Tensor, Tensor]]


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


def open_batches(
    dataset: CropDataset, config: TrainConfig, execution: Execution, start: int, fabric: AnyFabric
) -> Any:
    """Batches (blurred, sharp) in uint8 on the device, from step ``start`` on, without waiting."""
    # OpenCV's threads do not survive a fork: a worker that inherits their pool hangs when it first
    # touches it. One thread has no pool, and decoding shares the cores with the network anyway.
    cv2.setNumThreads(1)
    share = config.batch // (fabric.world_size * execution.accumulate)
    if execution.workers > 1:
        dataset.preload(execution.workers)
    loader = DataLoader(
        dataset,
        batch_size=share,
        sampler=_Order(config, start, fabric.global_rank, fabric.world_size),
        num_workers=execution.workers,
        # Large batches wait in shared memory, of which there may be little.
        prefetch_factor=max(2, 64 // share) if execution.workers else None,
        pin_memory=fabric.device.type == "cuda",
        worker_init_fn=_quiet_worker,
    )
    return fabric.setup_dataloaders(loader, use_distributed_sampler=False)


def group_parts(batches: Iterable[tuple[Tensor, Tensor]], parts: int) -> Iterator[Parts]:
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


def _quiet_worker(_: int) -> None:
    torch.set_num_threads(1)
    leave_signals_to_parent()
