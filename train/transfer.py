"""Weights of one network as the beginning of another.

Nothing learned is lost: each beginning computes what its origin did, or sees with its features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from runtime.errors import OptionError
from train.config import ModelConfig

Tensors = Mapping[str, Tensor]

_PREDICTOR, _DENOISER = "predictor.", "denoiser."
_STEM = "stem.weight"


def from_one_scale(tensors: Tensors, trained: ModelConfig, wanted: ModelConfig) -> Tensors:
    """Weights of ``trained``, which looks at one size, as the beginning of ``wanted``.

    The stem does not listen yet to the correction known so far. Weights of a network that looks at
    several sizes already, or is to look at one only, stay as they are.
    """
    stem = tensors.get(_PREDICTOR + _STEM)
    if trained.predictor_scales > 1 or wanted.predictor_scales == 1 or stem is None:
        return tensors
    return {**tensors, _PREDICTOR + _STEM: torch.cat([stem, torch.zeros_like(stem)], dim=1)}


def from_predictor(tensors: Tensors, config: ModelConfig) -> Tensors:
    """Weights whose denoiser begins with what the predictor has learned to see of blur.

    It does not listen yet to the noised residual and the noise level, and predicts zero: the head
    is new. Raises OptionError where the two networks are not alike.
    """
    check_alike(config)
    begun = dict(tensors)
    for name, tensor in tensors.items():
        if name.startswith(_PREDICTOR):
            begun[_DENOISER + name.removeprefix(_PREDICTOR)] = tensor.clone()
        elif name.startswith(_DENOISER) and ".level." in name:
            begun[name] = torch.zeros_like(tensor)
    for name in ("head.weight", "head.bias"):
        begun[_DENOISER + name] = torch.zeros_like(begun[_DENOISER + name])
    # The blurred picture comes first in both stems, then what is known of the correction.
    stem = torch.zeros_like(tensors[_DENOISER + _STEM])
    picture = stem.shape[1] // 2
    stem[:, :picture] = tensors[_PREDICTOR + _STEM][:, :picture]
    begun[_DENOISER + _STEM] = stem
    return begun


def check_alike(config: ModelConfig) -> None:
    """Raise OptionError where the denoiser cannot begin as a copy of the predictor."""
    widths = (config.predictor_channels, config.denoiser_channels)
    if config.predictor != "unet" or widths[0] != widths[1]:
        raise OptionError(
            f"got a predictor '{config.predictor}' of {widths[0]} channels and a denoiser of "
            f"{widths[1]}, which is to begin as its copy; wanted is 'unet' and one width, "
            "as in the preset 'tiny'"
        )
