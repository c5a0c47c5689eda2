"""The optimizers: Muon for the convolutions, AdamW for everything else.

Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024) makes each
update of a weight matrix orthogonal. torch brings it for matrices; a convolution's weight is seen
here as the matrix that it is, (out, in * height * width).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from train.device import computes_bfloat16


def build_optimizers(model: nn.Module, learning_rate: float) -> dict[str, torch.optim.Optimizer]:
    """Muon for the hidden convolutions, AdamW for biases, linear layers, first and last layers.

    Frozen parameters are left out. The split is the one that the authors of Muon recommend.
    """
    hidden: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            outer = ".stem." in name or ".head." in name
            (hidden if parameter.ndim == 4 and not outer else rest).append(parameter)
    muon = ConvolutionMuon(
        hidden, lr=learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
    )
    # Not fused: that kernel takes state and weight to be laid out alike, which a restored state is
    # not.
    adamw = torch.optim.AdamW(rest, lr=learning_rate, weight_decay=0.0, betas=(0.9, 0.99))
    return {"muon": muon, "adamw": adamw}


class ConvolutionMuon(torch.optim.Muon):
    """torch's Muon over matrix views of convolution weights (out, in, kernel, kernel).

    The weights must be in channels-last memory format, so that the views share their memory. State
    and arithmetic are torch's; only that matrices of one shape are made orthogonal together, since
    a network has many small ones.
    """

    def __init__(self, weights: Sequence[nn.Parameter], **options: Any) -> None:
        self._weights = list(weights)
        views = [nn.Parameter(_matrix(weight.detach())) for weight in self._weights]
        for view, weight in zip(views, self._weights, strict=True):
            assert view.data_ptr() == weight.data_ptr(), "the view must share the weight's memory"
        super().__init__(views, **options)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        (group,) = self.param_groups
        for view, weight in zip(group["params"], self._weights, strict=True):
            view.grad = None if weight.grad is None else _matrix(weight.grad)
        for views, gradients, momenta in self._alike(group):
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            updates = momenta
            if group["nesterov"]:
                updates = list(torch._foreach_lerp(gradients, momenta, group["momentum"]))
            orthogonal = orthogonalise(
                torch.stack(updates), group["ns_coefficients"], group["ns_steps"], group["eps"]
            )
            if group["weight_decay"]:
                torch._foreach_mul_(views, 1 - group["lr"] * group["weight_decay"])
            rate = _adjusted(group["lr"], group["adjust_lr_fn"], views[0].shape)
            torch._foreach_add_(views, list(orthogonal.float().unbind()), alpha=-rate)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        for weight in self._weights:
            weight.grad = None
        super().zero_grad(set_to_none)

    def _alike(
        self, group: dict[str, Any]
    ) -> Iterator[tuple[list[Tensor], list[Tensor], list[Tensor]]]:
        """Matrices of one shape that have a gradient, with their gradients and momenta."""
        lists: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
        self._init_group(group, *lists)
        by_shape: dict[torch.Size, list[int]] = defaultdict(list)
        for index, view in enumerate(lists[0]):
            by_shape[view.shape].append(index)
        for indices in by_shape.values():
            views, gradients, momenta = ([tensors[i] for i in indices] for tensors in lists)
            yield views, gradients, momenta


def orthogonalise(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """Nearly orthogonal matrices of the same singular vectors, (N, rows, columns).

    They are bfloat16 where the device has kernels for it, else of the type of ``matrices``.
    The quintic Newton-Schulz iteration of torch.optim.Muon, on N matrices at once: singular values
    end between about 0.7 and 1.2, which trains as well as 1 (Jordan et al. 2024).
    """
    a, b, c = coefficients
    x = matrices.bfloat16() if computes_bfloat16(matrices.device.type) else matrices
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if tall else x


def _adjusted(rate: float, rule: str | None, shape: torch.Size) -> float:
    """torch.optim.Muon's factor on the learning rate of matrices of that ``shape``."""
    rows, columns = shape
    if rule == "match_rms_adamw":
        return rate * 0.2 * math.sqrt(max(rows, columns))
    return rate * math.sqrt(max(1.0, rows / columns))


def _matrix(weight: Tensor) -> Tensor:
    """(out, in, kernel, kernel) as (out, kernel * kernel * in); a view if channels-last."""
    return weight.permute(0, 2, 3, 1).flatten(1)
