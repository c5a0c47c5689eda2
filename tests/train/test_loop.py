from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from runtime.errors import CheckpointError
from train.checkpoint import load_model, load_tensors
from train.config import RECIPES, BlurConfig, DataConfig, ModelConfig, TrainConfig
from train.data.layouts import Pictures, find_pictures
from train.journal import read_history
from train.loop import schedule, train
from train.run import LAST

CONFIG = TrainConfig(
    model=ModelConfig(4, 4, blocks=1, unshuffle=2),
    data=DataConfig(crop_px=32, blur=BlurConfig(longest_px=8.0)),
    steps=6,
    batch=2,
    warmup_steps=2,
    ema_decay=0.5,
    bfloat16=False,
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, photograph: NDArray[np.uint8]) -> Pictures:
    folder = tmp_path_factory.mktemp("pictures")
    cv2.imwrite(str(folder / "a.png"), photograph[:, :, ::-1])
    return find_pictures(folder)


def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(
    tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(CONFIG, pictures, tmp_path / "whole", progress=False)

    class Stopped(Exception):  # noqa: N818 (it is no error)
        pass

    def stop(step: int, config: TrainConfig) -> float:
        if step == 4:
            raise Stopped
        return schedule(step, config)

    monkeypatch.setattr("train.loop.schedule", stop)
    with pytest.raises(Stopped):
        train(CONFIG, pictures, tmp_path / "broken", save_every=3, progress=False)
    monkeypatch.undo()
    broken = train(CONFIG, pictures, tmp_path / "broken", save_every=3, progress=False)
    first, second = load_tensors(whole)[0], load_tensors(broken)[0]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_starts_after_opencv_has_used_its_threads(
    tmp_path: Path, pictures: Pictures
) -> None:
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2048, 2048, 3), np.uint8), (31, 31), 3.0)
    # A worker that inherited OpenCV's pool would never hand over its first batch.
    assert train(replace(CONFIG, steps=1), pictures, tmp_path, progress=False).exists()


def test_training_on_one_crop_learns_it(tmp_path: Path, pictures: Pictures) -> None:
    config = replace(CONFIG, loss=RECIPES["predictor"], steps=60, learning_rate=3e-3)
    model, _ = load_model(train(config, pictures, tmp_path, progress=False))
    from train.data.crops import CropDataset

    pairs = [CropDataset(pictures, config.data, 8, seed=0)[index] for index in range(8)]
    y, x = (torch.stack(batch).float() / 127.5 - 1.0 for batch in zip(*pairs, strict=True))
    with torch.no_grad():
        assert ((model.predict(y) - x) ** 2).mean() < 0.97 * ((y - x) ** 2).mean()


def test_the_loss_falls(tmp_path: Path, pictures: Pictures) -> None:
    model = replace(CONFIG.model, prediction="eps")
    config = replace(
        CONFIG, model=model, loss=RECIPES["paper"], steps=30, batch=4, learning_rate=1e-2
    )
    train(config, pictures, tmp_path, progress=False)
    losses = [entry.loss for entry in read_history(tmp_path)]
    # The head starts at zero: the first loss is the mean of a normal's absolute value.
    assert losses[0] == pytest.approx(0.798, abs=0.02)
    # It falls by 6 %; where nothing is learned, seven steps differ from seven by 0.5 %.
    assert np.mean(losses[-7:]) < 0.97 * np.mean(losses[:7])


def test_bfloat16_trains_all_parts(tmp_path: Path, pictures: Pictures) -> None:
    config = replace(CONFIG, steps=2, warmup_steps=1, bfloat16=True)
    path = train(config, pictures, tmp_path, progress=False)
    assert all(tensor.isfinite().all() for tensor in load_tensors(path)[0].values())


def test_without_bfloat16_kernels_it_trains_in_float32_and_says_so(
    tmp_path: Path,
    pictures: Pictures,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = replace(CONFIG, steps=2, warmup_steps=1)
    wanted = load_tensors(train(config, pictures, tmp_path / "1", progress=False))[0]
    assert "bfloat16" not in capsys.readouterr().err
    monkeypatch.setattr("train.loop.computes_bfloat16", lambda _: False)
    asked = replace(config, bfloat16=True)
    found = load_tensors(train(asked, pictures, tmp_path / "2", progress=False))[0]
    assert "no bfloat16 kernels: training in float32" in capsys.readouterr().err
    assert all(torch.equal(tensor, found[name]) for name, tensor in wanted.items())


def test_starting_weights_bring_their_history(tmp_path: Path, pictures: Pictures) -> None:
    first = train(
        replace(CONFIG, loss=RECIPES["predictor"]), pictures, tmp_path / "1", progress=False
    )
    second = train(CONFIG, pictures, tmp_path / "2", init=first, progress=False)
    stages = load_tensors(second)[1].stages
    assert [stage.config.loss.denoise for stage in stages] == [0.0, 1.0]


def test_the_denoiser_can_learn_to_predict_v_behind_a_frozen_predictor(
    tmp_path: Path, pictures: Pictures
) -> None:
    eps = replace(CONFIG, model=replace(CONFIG.model, prediction="eps"), steps=2)
    first = train(eps, pictures, tmp_path / "1", progress=False)
    v = replace(CONFIG, model=replace(CONFIG.model, prediction="v"), loss=RECIPES["denoiser"])
    second = train(v, pictures, tmp_path / "2", init=first, progress=False)
    before, after = load_tensors(first)[0], load_tensors(second)[0]
    same = {name for name, tensor in before.items() if tensor.equal(after[name])}
    assert {name for name in before if name.startswith("predictor.")} <= same
    assert not {name for name in before if name.startswith("denoiser.head.")} <= same
    assert load_model(second)[1].config.model.prediction == "v"


def test_another_configuration_does_not_resume(tmp_path: Path, pictures: Pictures) -> None:
    train(replace(CONFIG, steps=1), pictures, tmp_path, progress=False)
    assert (tmp_path / LAST).exists()
    with pytest.raises(CheckpointError, match="another configuration"):
        train(replace(CONFIG, steps=2), pictures, tmp_path, progress=False)


def test_the_learning_rate_warms_up_and_ends_near_zero() -> None:
    config = replace(CONFIG, steps=100, warmup_steps=10)
    factors = [schedule(step, config) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == pytest.approx(1.0)
    assert factors[-1] < 0.001
