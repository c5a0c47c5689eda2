from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from runtime.errors import CheckpointError
from train.checkpoint import FORMAT, Card, load_card, load_model, load_tensors, save_tensors
from train.config import ModelConfig, TrainConfig
from train.network import Model

CONFIG = TrainConfig(model=ModelConfig(4, 4, prediction="v", unshuffle=2))


def test_weights_and_configuration_come_back(tmp_path: Path) -> None:
    model = Model(CONFIG.model)
    save_tensors(tmp_path / "m.safetensors", model.state_dict(), Card(FORMAT, CONFIG, 7))
    loaded, card = load_model(tmp_path / "m.safetensors")
    assert card == Card(FORMAT, CONFIG, 7)
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )


def test_a_card_is_read_without_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_tensors(path, Model(CONFIG.model).state_dict(), Card(FORMAT, CONFIG, 7))
    assert load_card(path) == Card(FORMAT, CONFIG, 7)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="no card"):
        load_card(path)


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read"):
        load_tensors(tmp_path / "gone.safetensors")


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_tensors(path, Model(CONFIG.model).state_dict(), Card(FORMAT, CONFIG, 0))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot read"):
        load_tensors(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="no card"):
        load_tensors(tmp_path / "m.safetensors")


def test_a_newer_format_says_so(tmp_path: Path) -> None:
    save_tensors(tmp_path / "m.safetensors", {}, Card(FORMAT + 1, CONFIG, 0))
    with pytest.raises(CheckpointError, match="newer dvsr-edge"):
        load_tensors(tmp_path / "m.safetensors")


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    weights = Model(ModelConfig(8, 4)).state_dict()
    save_tensors(tmp_path / "m.safetensors", weights, Card(FORMAT, CONFIG, 0))
    with pytest.raises(CheckpointError, match="does not fit"):
        load_model(tmp_path / "m.safetensors")
