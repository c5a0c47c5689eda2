"""The optimizers: Muon for the convolutions, AdamW for everything else.

Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024) makes each
update of a weight matrix orthogonal. torch brings it for matrices; a convolution's weight is seen
here as the matrix that it is, (out, in * height * width).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


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
    adamw = torch.optim.AdamW(rest, lr=learning_rate, weight_decay=0.0, betas=(0.9, 0.99))
    return {"muon": muon, "adamw": adamw}


class ConvolutionMuon(torch.optim.Muon):
    """torch's Muon over matrix views of convolution weights (out, in, kernel, kernel).

    The weights must be in channels-last memory format, so that the views share their memory.
    """

    def __init__(self, weights: Sequence[nn.Parameter], **options: Any) -> None:
        self._weights = list(weights)
        views = [nn.Parameter(_matrix(weight.detach())) for weight in self._weights]
        for view, weight in zip(views, self._weights, strict=True):
            assert view.data_ptr() == weight.data_ptr(), "the view must share the weight's memory"
        super().__init__(views, **options)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        views = self.param_groups[0]["params"]
        for view, weight in zip(views, self._weights, strict=True):
            view.grad = None if weight.grad is None else _matrix(weight.grad)
        return super().step(closure)  # type: ignore[no-untyped-call]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for weight in self._weights:
            weight.grad = None
        super().zero_grad(set_to_none)


def _matrix(weight: Tensor) -> Tensor:
    """(out, in, kernel, kernel) as (out, kernel * kernel * in); a view if channels-last."""
    return weight.permute(0, 2, 3, 1).flatten(1)
