"""Runs that are killed, stopped, fed badly, validated, cut into parts, and shared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from runtime.errors import DataError, OptionError
from train.checkpoint import FORMAT, Card, load_model, load_tensors, save_tensors
from train.config import BlurConfig, DataConfig, Execution, LossConfig, ModelConfig, TrainConfig
from train.data.layouts import Pictures, find_pictures
from train.journal import HISTORY, Entry, Journal, read_history
from train.loop import train
from train.network import Model
from train.run import BEST, LAST, MODEL

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS = 40
CONFIG = TrainConfig(
    model=ModelConfig(4, 4, blocks=1, unshuffle=2),
    data=DataConfig(crop_px=32, blur=BlurConfig(longest_px=8.0)),
    steps=4,
    batch=4,
    warmup_steps=2,
    ema_decay=0.5,
    bfloat16=False,
)
HERE = Execution(workers=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    cv2.imwrite(str(folder / "a.png"), skimage.data.astronaut()[:, :, ::-1])
    return folder


@pytest.fixture(scope="module")
def pictures(folder: Path) -> Pictures:
    return find_pictures(folder)


def start(folder: Path, output: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "train", str(folder), "-o", str(output), "--crop", "32",
        "--longest-blur", "8", "--batch", "2", "--steps", str(STEPS), "--warmup", "4",
        "--save-every", "5", "--float32", "--accelerator", "cpu", *options,
    ]  # fmt: skip
    # One thread each: sums are then made in one order, and processes can be compared bit by bit.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, text=True, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return errors


def signal_after(process: subprocess.Popen[str], output: Path, steps: int, number: int) -> None:
    history = output / HISTORY
    while not (history.exists() and history.read_bytes().count(b"\n") >= steps):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    process.send_signal(number)


def losses(output: Path) -> list[float | None]:
    return [entry.loss for entry in read_history(output)]


@pytest.fixture(scope="module")
def unbroken(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("unbroken")
    finish(start(folder, output))
    return output


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_loss_curve_of_an_unbroken_one(
    folder: Path, tmp_path: Path, unbroken: Path
) -> None:
    process = start(folder, tmp_path)
    signal_after(process, tmp_path, 8, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    saved = load_tensors(tmp_path / LAST)[1].step
    assert 5 <= saved < STEPS
    finish(start(folder, tmp_path))
    assert [entry.step for entry in read_history(tmp_path)] == list(range(1, STEPS + 1))
    assert losses(tmp_path) == losses(unbroken)
    first, second = (load_tensors(path / MODEL)[0] for path in (unbroken, tmp_path))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_finishes_its_step_saves_and_exits_with_0(
    folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = start(folder, tmp_path)
    signal_after(process, tmp_path, 2, number)
    finish(process)
    step = load_tensors(tmp_path / LAST)[1].step
    assert 2 <= step < STEPS
    assert [entry.step for entry in read_history(tmp_path)][-1] == step


@pytest.mark.slow
def test_two_processes_with_half_the_batch_take_the_steps_of_one(
    folder: Path, tmp_path: Path, unbroken: Path
) -> None:
    finish(start(folder, tmp_path, "--devices", "2"))
    one, two = np.array(losses(unbroken), float), np.array(losses(tmp_path), float)
    # The first losses come from equal weights: only the order of sums differs. Muon then rounds
    # to bfloat16, which makes the last bits of a gradient matter a little.
    assert two[0] == pytest.approx(one[0], rel=1e-5)
    assert two == pytest.approx(one, rel=2e-2)
    first, second = (load_tensors(path / MODEL)[0] for path in (unbroken, tmp_path))
    moved = [(first[n] - second[n]).abs().max().item() for n in first]
    assert max(moved) < 0.2 * 1.5e-3 * STEPS


def test_a_batch_in_parts_takes_the_steps_of_a_whole_one(
    tmp_path: Path, pictures: Pictures
) -> None:
    whole = train(CONFIG, pictures, tmp_path / "1", progress=False, execution=HERE)
    parts = train(
        CONFIG, pictures, tmp_path / "2", progress=False, execution=replace(HERE, accumulate=4)
    )
    one, two = (np.array(losses(path.parent), float) for path in (whole, parts))
    assert two[0] == pytest.approx(one[0], rel=1e-5)
    assert two == pytest.approx(one, rel=1e-2)


@pytest.mark.parametrize("execution", [Execution(accumulate=3), Execution(devices=0)])
def test_a_batch_that_cannot_be_shared_is_refused(
    tmp_path: Path, pictures: Pictures, execution: Execution
) -> None:
    with pytest.raises(OptionError, match="batch of 4"):
        train(CONFIG, pictures, tmp_path, execution=execution)


def test_steps_that_are_not_finite_are_skipped_and_counted(
    tmp_path: Path, pictures: Pictures
) -> None:
    weights = Model(CONFIG.model).state_dict()
    weights["predictor.head.bias"] = torch.full_like(weights["predictor.head.bias"], torch.nan)
    save_tensors(tmp_path / "bad.safetensors", weights, Card(FORMAT, CONFIG, 0))
    train(
        CONFIG, pictures, tmp_path, init=tmp_path / "bad.safetensors",
        progress=False, execution=HERE,
    )  # fmt: skip
    tensors, card = load_tensors(tmp_path / LAST)
    assert card.skipped == CONFIG.steps
    assert torch.equal(tensors["model.predictor.stem.weight"], weights["predictor.stem.weight"])
    assert [(e.loss, e.skipped) for e in read_history(tmp_path)] == [
        (None, count + 1) for count in range(CONFIG.steps)
    ]


def test_a_corrupt_picture_is_named_and_the_run_goes_on(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes((folder / "a.png").read_bytes())
    (tmp_path / "bad.png").write_bytes(b"no picture")
    output = tmp_path / "run"
    train(CONFIG, find_pictures(tmp_path), output, progress=False)
    assert f"cannot be read (1): {tmp_path / 'bad.png'}" in capsys.readouterr().err
    assert len(read_history(output)) == CONFIG.steps


def test_an_error_of_a_worker_process_is_one_line(tmp_path: Path) -> None:
    for side, width in (("blur", 64), ("sharp", 65)):
        (tmp_path / side).mkdir()
        cv2.imwrite(str(tmp_path / side / "a.png"), np.zeros((64, width, 3), np.uint8))
    with pytest.raises(DataError, match=r"^\S*blur/a\.png is 64x64 but \S*sharp/a\.png is 65x64"):
        train(CONFIG, find_pictures(tmp_path), tmp_path / "run", progress=False)


@pytest.mark.parametrize("loss", [LossConfig(), LossConfig(denoise=0.0)])
def test_validation_keeps_the_best_weights(
    tmp_path: Path, pictures: Pictures, loss: LossConfig
) -> None:
    execution = replace(HERE, validate_every=2, validation_crops=2, validation_crop_px=64)
    train(
        replace(CONFIG, loss=loss), pictures, tmp_path,
        progress=False, execution=execution, validation=pictures,
    )  # fmt: skip
    measured = [e.validation_db for e in read_history(tmp_path)]
    assert [db is None for db in measured] == [True, False, True, False]
    best = max(db for db in measured if db is not None)
    _, card = load_model(tmp_path / BEST)
    assert card.validation_db == card.best_db == pytest.approx(best)
    assert load_tensors(tmp_path / LAST)[1].best_db == pytest.approx(best)


def test_a_pixel_loss_without_predictor_is_refused(tmp_path: Path, pictures: Pictures) -> None:
    config = replace(CONFIG, model=ModelConfig(0, 4, predictor="direct"))
    with pytest.raises(OptionError, match="without predictor"):
        train(config, pictures, tmp_path)


@pytest.mark.parametrize(
    "model",
    [
        ModelConfig(0, 4, prediction="eps", predictor="direct"),
        ModelConfig(4, 4, prediction="v", predictor="xydeblur"),
        ModelConfig(4, 4, prediction="eps", predictor="unet-xy"),
    ],
)
def test_every_predictor_trains_by_the_papers_recipe(
    tmp_path: Path, pictures: Pictures, model: ModelConfig
) -> None:
    loss = LossConfig(denoise=1.0, pixel=0.0, denoise_norm="l1")
    config = replace(CONFIG, model=model, loss=loss, steps=2)
    path = train(config, pictures, tmp_path, progress=False, execution=HERE)
    assert load_tensors(tmp_path / LAST)[1].skipped == 0
    assert all(tensor.isfinite().all() for tensor in load_tensors(path)[0].values())


def test_a_history_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        for step in range(1, 5):
            journal.write(Entry(step, 0.5))
    with (tmp_path / HISTORY).open("a") as file:
        file.write('{"step":5,"lo')
    with Journal(tmp_path, 2) as journal:
        journal.write(Entry(3, 0.25))
    assert [(e.step, e.loss) for e in read_history(tmp_path)] == [(1, 0.5), (2, 0.5), (3, 0.25)]


def test_tensorboard_receives_scalars_and_a_picture_grid(
    tmp_path: Path, pictures: Pictures
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    execution = Execution(
        workers=0, tensorboard=True, validate_every=4, validation_crops=2, validation_crop_px=64
    )
    train(CONFIG, pictures, tmp_path, progress=False, execution=execution, validation=pictures)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"loss", "validation_db", "learning_rate"} <= set(events.Tags()["scalars"])
    assert len(events.Scalars("loss")) == CONFIG.steps
    grid = events.Images("blurred, predicted, deblurred, sharp")[0]
    assert (grid.width, grid.height) == (4 * 64, 2 * 64)
