"""Bundles of the small network in other precisions; do not change them, copy them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def half_bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from export.config import ExportConfig
    from export.onnx import export

    target = tmp_path_factory.mktemp("half") / "bundle"
    parity = export(checkpoint, target, ExportConfig(precision="float16"))
    assert min(entry.psnr_db for entry in parity.samplers) >= 45.0
    return target


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory, photograph: NDArray[np.uint8]) -> Path:
    """A folder of small pictures cut out of one photograph."""
    from runtime.images import Photograph, write_photograph

    folder = tmp_path_factory.mktemp("photographs")
    for index, (top, left) in enumerate([(0, 0), (0, 200), (100, 300), (200, 100), (300, 300)]):
        cut = photograph[top : top + 136, left : left + 136]
        write_photograph(folder / f"{index}.png", Photograph(np.ascontiguousarray(cut)))
    return folder


@pytest.fixture(scope="session")
def biased_checkpoint(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network with biases, as training leaves them: an optimiser drops those of zero."""
    import torch

    from train.checkpoint import load_tensors, save_tensors

    tensors, card = load_tensors(checkpoint)
    torch.manual_seed(1)
    for name, tensor in tensors.items():
        if name.endswith(".bias"):
            tensors[name] = torch.randn_like(tensor).mul(0.05)
    path = tmp_path_factory.mktemp("biased") / "model.safetensors"
    save_tensors(path, tensors, card)
    return path


@pytest.fixture(scope="session")
def int8_bundle(
    biased_checkpoint: Path, photographs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Quantised, and with a fused graph of two steps."""
    from export.config import ExportConfig
    from export.onnx import export

    target = tmp_path_factory.mktemp("quantised") / "int8"
    config = ExportConfig(precision="int8", calibration=photographs, pictures=2, fused_steps=2)
    export(biased_checkpoint, target, config)
    return target


@pytest.fixture(scope="session")
def bfloat_bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from export.config import ExportConfig
    from export.onnx import export

    target = tmp_path_factory.mktemp("bfloat") / "bundle"
    export(checkpoint, target, ExportConfig(precision="bfloat16"))
    return target
