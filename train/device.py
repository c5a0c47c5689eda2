"""One device without a library: what Lightning Fabric is to several processes, for a single one.

A bare machine with torch is then enough to train on; see ``python -m train.portable train``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from runtime.errors import OptionError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

AnyFabric: TypeAlias = "Fabric | OneDevice"


def choose_device(accelerator: str) -> torch.device:
    """The device meant by "auto", "gpu" or a kind such as "cpu" and "cuda"; raises OptionError.

    "auto" is the machine's accelerator, or the CPU where there is none.
    """
    found = torch.accelerator.current_accelerator(check_available=True)
    if accelerator == "auto":
        return found or torch.device("cpu")
    if accelerator == "gpu" and found is not None:
        return found
    kind = "" if found is None else found.type
    if accelerator not in ("cpu", kind):
        raise OptionError(
            f"got accelerator '{accelerator}'; this machine has cpu{f' and {kind}' if kind else ''}"
        )
    return torch.device(accelerator)


@cache
def computes_bfloat16(kind: str) -> bool:
    """Whether devices of that ``kind`` ("cpu", "cuda") have bfloat16 kernels here.

    Without them torch falls back on code that is meant to be right and not to be fast.
    """
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu":
        built_in = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        return built_in and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return True


class OneDevice:
    """The part of Fabric's interface that the loop uses, for one process with one device."""

    world_size = 1
    global_rank = 0
    is_global_zero = True

    def __init__(self, accelerator: str, *, bfloat16: bool) -> None:
        self.device = choose_device(accelerator)
        if self.device.type == "cuda":
            # All crops are of one size: the search for the fastest kernels pays.
            torch.backends.cudnn.benchmark = True
        self._bfloat16 = bfloat16

    def launch(self) -> None:
        """Nothing to start."""

    def barrier(self) -> None:
        """Nobody to wait for."""

    def setup(self, module: nn.Module, *optimizers: torch.optim.Optimizer) -> tuple[Any, ...]:
        """``module``, on the device and under autocast, and the optimizers."""
        return (_Autocast(module.to(self.device), self._bfloat16), *optimizers)

    def setup_dataloaders(self, loader: Iterable[Any], *, use_distributed_sampler: bool) -> Any:
        """``loader`` with its batches, tuples of tensors, on the device."""
        assert not use_distributed_sampler, "one process has no share of the batches"
        return _OnDevice(loader, self.device)

    def no_backward_sync(self, _: Any, *, enabled: bool = True) -> AbstractContextManager[None]:
        """Nothing to put off."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Gradients of ``loss``."""
        loss.backward()  # type: ignore[no-untyped-call]

    def all_reduce(self, values: Any, reduce_op: str = "mean") -> Any:
        """``values``, mean and sum of themselves."""
        return values


class _Autocast(nn.Module):
    """``module`` in mixed precision; its weights stay float32."""

    def __init__(self, module: nn.Module, bfloat16: bool) -> None:
        super().__init__()
        self.module = module
        self._bfloat16 = bfloat16

    def forward(self, *inputs: Tensor) -> Any:
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=self._bfloat16):
            return self.module(*inputs)


class _OnDevice:
    def __init__(self, loader: Iterable[Any], device: torch.device) -> None:
        self._loader = loader
        self._device = device

    def __iter__(self) -> Iterator[list[Tensor]]:
        for batch in self._loader:
            yield [tensor.to(self._device, non_blocking=True) for tensor in batch]
