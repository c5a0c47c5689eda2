"""Weights of one network as the beginning of another.

Nothing learned is lost: each beginning computes what its origin did, or sees with its features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from runtime.errors import OptionError
from train.config import ModelConfig
from train.network import Model

Tensors = Mapping[str, Tensor]

_STEM = "predictor.stem.weight"


def from_one_scale(tensors: Tensors, trained: ModelConfig, wanted: ModelConfig) -> Tensors:
    """Weights of ``trained``, which looks at one size, as the beginning of ``wanted``.

    The stem does not listen yet to the correction known so far. Weights of a network that looks at
    several sizes already, or is to look at one only, stay as they are.
    """
    stem = tensors.get(_STEM)
    if trained.predictor_scales > 1 or wanted.predictor_scales == 1 or stem is None:
        return tensors
    return {**tensors, _STEM: torch.cat([stem, torch.zeros_like(stem)], dim=1)}


@torch.no_grad()
def copy_predictor(model: Model) -> None:
    """Let the denoiser of ``model`` begin with what its predictor has learned to see of blur.

    It does not listen yet to the noised residual and the noise level, and predicts zero: the head
    is new. The two networks must be alike (:func:`check_alike`).
    """
    assert model.predictor is not None, "check_alike() refuses a model without predictor"
    denoiser = model.denoiser
    learned = model.predictor.state_dict()
    # The blurred picture comes first in both stems, then what is known of the correction.
    stem = torch.zeros_like(denoiser.stem.weight)
    picture = stem.shape[1] // 2
    stem[:, :picture] = learned["stem.weight"][:, :picture]
    denoiser.load_state_dict({**learned, "stem.weight": stem}, strict=False)
    for name, parameter in denoiser.named_parameters():
        if ".level." in name or name.startswith("head."):
            parameter.zero_()


def check_alike(config: ModelConfig) -> None:
    """Raise OptionError where the denoiser cannot begin as a copy of the predictor."""
    widths = (config.predictor_channels, config.denoiser_channels)
    if config.predictor != "unet" or widths[0] != widths[1]:
        raise OptionError(
            f"got a predictor '{config.predictor}' of {widths[0]} channels and a denoiser of "
            f"{widths[1]}, which is to begin as its copy; wanted is 'unet' and one width, "
            "as in the preset 'tiny'"
        )
