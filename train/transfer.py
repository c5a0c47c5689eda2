"""Weights of one network as the beginning of another.

Nothing learned is lost: each beginning computes what its origin did, or sees with its features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from runtime.errors import OptionError
from runtime.samplers import RESIDUAL_STD
from train import checkpoint
from train.checkpoint import Card
from train.config import ModelConfig
from train.network import Model

Tensors = Mapping[str, Tensor]

_PREDICTOR = "predictor."
_STEM = "predictor.stem.weight"
_HEAD = "predictor.head."
_OUTPUT = "denoiser.head."


def grow(tensors: Tensors, trained: ModelConfig, wanted: ModelConfig, seed: int) -> Tensors:
    """Weights of ``trained`` as the beginning of ``wanted``, where there is a way to begin so.

    More scales, "edm" in place of "x0", and a wider predictor can come together. What has no way
    stays as it is, and does not fit ``wanted``.
    """
    tensors = _from_one_scale(tensors, trained, wanted)
    tensors = _from_x0(tensors, trained, wanted)
    return _from_narrower(tensors, trained, wanted, seed)


def _from_one_scale(tensors: Tensors, trained: ModelConfig, wanted: ModelConfig) -> Tensors:
    """Weights of ``trained``, which looks at one size, as the beginning of ``wanted``.

    The stem does not listen yet to the correction known so far. Weights of a network that looks at
    several sizes already, or is to look at one only, stay as they are.
    """
    stem = tensors.get(_STEM)
    if trained.predictor_scales > 1 or wanted.predictor_scales == 1 or stem is None:
        return tensors
    return {**tensors, _STEM: torch.cat([stem, torch.zeros_like(stem)], dim=1)}


def _from_x0(tensors: Tensors, trained: ModelConfig, wanted: ModelConfig) -> Tensors:
    """Weights of a denoiser that predicts the residual as the beginning of an "edm" one.

    Where nearly all is noise, "edm" asks for the residual in units of its size; where less is, it
    asks for less and less of it, and that remains to be learned.
    """
    if (trained.prediction, wanted.prediction) != ("x0", "edm"):
        return tensors
    head = {name: t / RESIDUAL_STD for name, t in tensors.items() if name.startswith(_OUTPUT)}
    return {**tensors, **head}


def _from_narrower(
    tensors: Tensors, trained: ModelConfig, wanted: ModelConfig, seed: int
) -> Tensors:
    """Weights of ``trained`` as the beginning of ``wanted``, whose predictor is k times as wide.

    Net2WiderNet (Chen, Goodfellow and Shlens, "Net2Net", ICLR 2016): each feature is there k times,
    and what reads it shares its weight among the copies. The shares differ by noise that sums to
    zero, as large as keeps the variance of the weights right for their number: the network computes
    what it did, and the copies learn different things. Weights of the same width, and those that do
    not grow by a whole number, stay as they are.
    """
    times, rest = divmod(wanted.predictor_channels, max(1, trained.predictor_channels))
    alike = trained.predictor == wanted.predictor == "unet"
    if times < 2 or rest or not alike:
        return tensors
    random = torch.Generator().manual_seed(seed)
    return {
        name: _widen(name, tensor, times, random) if name.startswith(_PREDICTOR) else tensor
        for name, tensor in tensors.items()
    }


def _widen(name: str, tensor: Tensor, times: int, random: torch.Generator) -> Tensor:
    if not name.startswith(_HEAD):
        tensor = tensor.repeat_interleave(times, dim=0)
    if tensor.ndim == 1 or name == _STEM:
        return tensor
    shares = tensor.repeat_interleave(times, dim=1) / times
    noise = torch.randn(len(tensor), tensor.shape[1], times, *tensor.shape[2:], generator=random)
    noise = (noise - noise.mean(dim=2, keepdim=True)).flatten(1, 2)
    # Without noise the variance is that of the whole weight over times^2, and 1 / times is wanted.
    return shares + noise * tensor.std() / times**0.5


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


def join(predictor: Path, denoiser: Path, target: Path) -> Path:
    """Write ``target``: the predictor of one checkpoint and the denoiser of another.

    What the denoiser predicts is its own checkpoint's; the stages behind both are listed. Raises
    CheckpointError, and OptionError where the two do not see a picture alike.
    """
    seeing, seen_by = checkpoint.load_tensors(predictor)
    denoising, noised_by = checkpoint.load_tensors(denoiser)
    model, other = seen_by.config.model, noised_by.config.model
    if model.unshuffle != other.unshuffle or "direct" in (model.predictor, other.predictor):
        raise OptionError(
            f"got a predictor '{model.predictor}' at unshuffle {model.unshuffle} ({predictor}) and "
            f"a denoiser beside '{other.predictor}' at unshuffle {other.unshuffle} ({denoiser}); "
            "wanted are checkpoints of one unshuffle that both have a predictor"
        )
    joined = replace(model, denoiser_channels=other.denoiser_channels, prediction=other.prediction)
    own = tuple(stage for stage in noised_by.stages if stage not in seen_by.stages)
    card = Card(
        checkpoint.FORMAT,
        replace(seen_by.config, model=joined),
        step=0,
        stages=(*seen_by.stages, *own),
    )
    tensors = {name: t for name, t in seeing.items() if name.startswith(_PREDICTOR)}
    tensors |= {name: t for name, t in denoising.items() if not name.startswith(_PREDICTOR)}
    checkpoint.load_weights(Model(joined), tensors, predictor)
    target.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save_tensors(target, tensors, card)
    return target


def check_alike(config: ModelConfig) -> None:
    """Raise OptionError where the denoiser cannot begin as a copy of the predictor."""
    widths = (config.predictor_channels, config.denoiser_channels)
    if config.predictor != "unet" or widths[0] != widths[1]:
        raise OptionError(
            f"got a predictor '{config.predictor}' of {widths[0]} channels and a denoiser of "
            f"{widths[1]}, which is to begin as its copy; wanted is 'unet' and one width, "
            "as in the preset 'tiny'"
        )
