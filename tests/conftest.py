"""Pictures and a small real bundle that several tests share."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

if TYPE_CHECKING:
    from export.config import ExportConfig

if "PYTEST_XDIST_WORKER" in os.environ:
    # As many workers as cores: more threads would only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"

# Depth is what tracing takes its time for.
SMALL_MODEL = {"predictor_channels": 4, "denoiser_channels": 4, "blocks": 1}


def pytest_unconfigure() -> None:
    """End what tests left running: a failed training leaves its readers to the collector."""
    for child in multiprocessing.active_children():
        child.kill()


@pytest.fixture(scope="session")
def photograph() -> NDArray[np.uint8]:
    """A public-domain photograph (an astronaut; NASA), uint8 RGB (512, 512, 3)."""
    return skimage.data.astronaut()


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes checkpoints of networks 4 channels wide and a block deep, with random weights.

    The head, which starts at zero, has them too. It takes fields of ModelConfig.
    """
    import torch

    from train.checkpoint import FORMAT, Card, save_tensors
    from train.config import ModelConfig, TrainConfig
    from train.network import Model

    def make(**fields: Any) -> Path:
        torch.manual_seed(0)
        config = TrainConfig(model=ModelConfig(**{**SMALL_MODEL, **fields}))
        model = Model(config.model)
        for network in (model.predictor, model.denoiser):
            torch.nn.init.normal_(network.head.weight, std=0.05)
        path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
        save_tensors(path, model.state_dict(), Card(FORMAT, config, 0))
        return path

    return make


@pytest.fixture(scope="session")
def checkpoint(make_checkpoint: Callable[..., Path]) -> Path:
    """A checkpoint of a very small network with random weights everywhere, the head included."""
    return make_checkpoint()


@pytest.fixture(scope="session")
def export_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Exports a checkpoint to the bundle of a name, unless another worker of this run has done so.

    What it returns is shared: do not change it, copy it.
    """
    from filelock import FileLock

    from export.onnx import export

    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "bundles"
    folder.mkdir(exist_ok=True)

    def export_to(name: str, checkpoint: Path, *config: ExportConfig) -> Path:
        with FileLock(folder / f"{name}.lock"):
            if not (folder / name).exists():
                export(checkpoint, folder / name, *config)
        return folder / name

    return export_to


@pytest.fixture(scope="session")
def small_bundle(checkpoint: Path, export_once: Callable[..., Path]) -> Path:
    """The bundle exported from ``checkpoint``; do not change it, copy it."""
    return export_once("small", checkpoint)


@pytest.fixture(scope="session")
def validation() -> Path:
    """The validation pairs kept beside the repository."""
    folder = SHARED / "data" / "val"
    if not folder.is_dir():
        pytest.skip("the validation pairs do not lie beside this checkout (../shared/data/val)")
    return folder
