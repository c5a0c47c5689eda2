"""``--compile``: the same steps and the same files, only sooner."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from runtime.errors import OptionError
from train.checkpoint import load_model, load_tensors
from train.config import BlurConfig, DataConfig, Execution, ModelConfig, TrainConfig
from train.data.layouts import Pictures, find_pictures
from train.journal import read_history
from train.loop import check_options, compile_networks, train
from train.network import Model
from train.run import LAST, MODEL

CONFIG = TrainConfig(
    model=ModelConfig(4, 4, blocks=1, unshuffle=2),
    data=DataConfig(crop_px=32, blur=BlurConfig(longest_px=8.0)),
    steps=4,
    batch=4,
    warmup_steps=1,
    ema_decay=0.5,
)
PLAIN = Execution(workers=0, accelerator="cpu")
COMPILED = replace(PLAIN, compile=True)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, photograph: NDArray[np.uint8]) -> Pictures:
    folder = tmp_path_factory.mktemp("pictures")
    cv2.imwrite(str(folder / "a.png"), photograph[:, :, ::-1])
    return find_pictures(folder)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler"
)
def test_a_compiled_run_takes_the_steps_of_an_uncompiled_one_and_writes_the_same_names(
    tmp_path: Path, pictures: Pictures, shallow: None
) -> None:
    plain, compiled = tmp_path / "plain", tmp_path / "compiled"
    train(CONFIG, pictures, plain, progress=False, execution=PLAIN)
    train(CONFIG, pictures, compiled, progress=False, execution=COMPILED)
    curves = [[entry.loss for entry in read_history(folder)] for folder in (plain, compiled)]
    # Fused code keeps float32 where separate operators round to bfloat16, of three digits.
    assert curves[1] == pytest.approx(curves[0], rel=2e-2)
    for file in (MODEL, LAST):
        first, second = (load_tensors(folder / file)[0] for folder in (plain, compiled))
        assert list(second) == list(first)
    one, other = (load_model(folder / MODEL)[0] for folder in (plain, compiled))
    y = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        moved = one.predict(y) - y
        apart = other.predict(y) - one.predict(y)
    assert apart.norm() < 0.1 * moved.norm()


def test_compiling_keeps_the_names_of_the_weights() -> None:
    model = Model(CONFIG.model)
    names = list(model.state_dict())
    compile_networks(model)
    assert list(model.state_dict()) == names


def test_compiling_on_a_processor_without_a_compiler_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(OptionError, match="no-such-compiler"):
        check_options(CONFIG, COMPILED)
    check_options(CONFIG, PLAIN)
