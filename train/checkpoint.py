"""Checkpoints: safetensors with the configuration in their metadata, no pickle.

Two kinds, both written whole or not at all: ``model.safetensors`` (the averaged weights, what
export reads) and ``last.safetensors`` (everything a run needs to go on).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from runtime.errors import CheckpointError
from runtime.files import write_whole
from train.config import TrainConfig
from train.network import Model

FORMAT = 1


@dataclass(frozen=True)
class Stage:
    """One training run that the weights went through: its configuration and what it saw.

    ``pictures_sha256`` is over the pictures' names, ``files`` holds the sha256 of each file by its
    name; it is empty where they are too many, and where they are those of the stage before.
    ``seconds`` counts all resumed parts.
    """

    config: TrainConfig
    crops: int
    pictures: int
    pictures_sha256: str
    seconds: float
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself: format, configuration, and the stages behind it.

    ``skipped`` counts the steps left out because they were not finite. ``validation_db`` is the
    PSNR of these weights where it was measured, ``best_db`` the run's best so far.
    """

    format: int
    config: TrainConfig
    step: int
    stages: tuple[Stage, ...] = ()
    skipped: int = 0
    validation_db: float | None = None
    best_db: float | None = None


def save_tensors(path: Path, tensors: Mapping[str, Tensor], card: Card) -> None:
    """Write tensors and card to ``path`` beside it first, then rename."""
    whole = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    write_whole(path, save(whole, metadata={"card": msgspec.json.encode(card).decode()}))


def load_card(path: Path) -> Card:
    """The card of ``path`` without its tensors; raises as :func:`load_tensors`."""
    with _open(path) as file:
        return _read_card(file, path)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Card]:
    """Tensors and card of ``path``; raises CheckpointError for anything that is not ours."""
    with _open(path) as file:
        card = _read_card(file, path)
        return {name: file.get_tensor(name) for name in file.keys()}, card  # noqa: SIM118


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot read checkpoint {path}: {error}; "
            "wanted is a model.safetensors of python -m train"
        ) from error


def _read_card(file: Any, path: Path) -> Card:
    metadata = file.metadata() or {}
    if "card" not in metadata:
        raise CheckpointError(f"{path} carries no card; wanted is a checkpoint of python -m train")
    try:
        card = msgspec.json.decode(metadata["card"], type=Card)
    except msgspec.MsgspecError as error:
        raise CheckpointError(f"the card of {path} cannot be read: {error}") from error
    if card.format > FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {card.format}, this version reads up to {FORMAT}; "
            "install a newer dvsr-edge"
        )
    return card


def load_model(path: Path) -> tuple[Model, Card]:
    """The network of a ``model.safetensors``, in evaluation mode, with its card."""
    tensors, card = load_tensors(path)
    model = Model(card.config.model)
    load_weights(model, tensors, path)
    return model.eval(), card


def load_weights(model: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy ``tensors`` into ``model``; raises CheckpointError where names or shapes differ."""
    try:
        model.load_state_dict(dict(tensors))
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path} does not fit the model it names: {first}") from error


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Optimizer state as named tensors, ``<parameter>.<quantity>``."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, quantities in state.items()
        for name, value in quantities.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of :func:`flatten_optimizer`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, quantity = name.split(".", 1)
        state.setdefault(int(index), {})[quantity] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` with ``prefix.`` before each name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def below_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of ``tensors`` whose name starts with ``prefix.``, without it."""
    start = f"{prefix}."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
