"""Runs that a clock ends: what they learn with, what they count, and how they go on elsewhere."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import skimage.data

from runtime.errors import CheckpointError
from train import loop
from train.checkpoint import Card, load_tensors
from train.config import RECIPES, BlurConfig, DataConfig, Execution, ModelConfig, TrainConfig
from train.data.layouts import Pictures, find_pictures
from train.journal import read_history
from train.loop import anneal, train
from train.run import LAST, MODEL, Run, start_run
from train.stages import find_stage, train_stages

CONFIG = TrainConfig(
    model=ModelConfig(4, 4, blocks=1, unshuffle=2),
    data=DataConfig(crop_px=32, blur=BlurConfig(longest_px=8.0)),
    steps=4,
    batch=2,
    warmup_steps=2,
    ema_decay=0.5,
    bfloat16=False,
)
TIMED = replace(CONFIG, steps=1_000_000, minutes=1.0)
HERE = Execution(workers=0, accelerator="cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    folder = tmp_path_factory.mktemp("pictures")
    cv2.imwrite(str(folder / "a.png"), skimage.data.astronaut()[:, :, ::-1])
    return find_pictures(folder)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that strides: it moves by two seconds whenever the loop looks at it."""
    ticks = iter(range(0, 10**9, 2))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(ticks)))


def run_of(config: TrainConfig, folder: Path) -> Run:
    return start_run(config, folder, None)


@pytest.mark.usefixtures("clock")
def test_a_run_ends_when_its_minutes_are_used_up(tmp_path: Path, pictures: Pictures) -> None:
    written = train(TIMED, pictures, tmp_path, progress=False, execution=HERE)
    seconds = load_tensors(written)[1].stages[-1].seconds
    history = read_history(tmp_path)
    assert 60 <= seconds < 80
    assert history[-1].seconds == seconds
    assert max(entry.learning_rate for entry in history) > 0.8 * TIMED.learning_rate
    assert history[-1].learning_rate < 0.1 * TIMED.learning_rate


def test_the_learning_rate_falls_with_the_time_spent(tmp_path: Path) -> None:
    run = run_of(TIMED, tmp_path)
    run.step = 100
    factors = []
    for run.seconds in (0.0, 30.0, 60.0, 90.0):
        factors.append(anneal(run, TIMED))
    assert factors == pytest.approx([1.0, 0.5, 0.0, 0.0])
    run.step, run.seconds = 0, 0.0
    assert anneal(run, TIMED) == pytest.approx(0.5)


@pytest.mark.usefixtures("clock")
def test_the_parts_of_a_run_share_its_minutes_and_add_up(
    tmp_path: Path, pictures: Pictures
) -> None:
    def go(within_s: float) -> Card:
        path = train(TIMED, pictures, tmp_path, within_s=within_s, progress=False, execution=HERE)
        return load_tensors(path)[1]

    first = go(30)
    assert first.stages[-1].seconds < 40
    second = go(math.inf)
    assert second.step > first.step
    assert 60 <= second.stages[-1].seconds < 80
    assert len(second.stages) == 1
    assert go(math.inf) == second


@pytest.mark.usefixtures("clock")
def test_a_run_goes_on_from_its_weights_alone_and_warms_up_again(
    tmp_path: Path, pictures: Pictures
) -> None:
    first = train(TIMED, pictures, tmp_path / "1", within_s=20, progress=False, execution=HERE)
    before = load_tensors(first)[1]
    again = train(TIMED, pictures, tmp_path / "2", resume=first, progress=False, execution=HERE)
    after = load_tensors(again)[1]
    assert 60 <= after.stages[-1].seconds < 80
    history = read_history(tmp_path / "2")
    assert [entry.step for entry in history] == list(range(before.step + 1, after.step + 1))
    assert history[0].learning_rate == pytest.approx(0.5 * TIMED.learning_rate)


def test_weights_of_another_configuration_are_not_gone_on_from(
    tmp_path: Path, pictures: Pictures
) -> None:
    first = train(CONFIG, pictures, tmp_path / "1", progress=False, execution=HERE)
    with pytest.raises(CheckpointError, match="another configuration"):
        train(
            replace(CONFIG, seed=9), pictures, tmp_path / "2",
            resume=first, progress=False, execution=HERE,
        )  # fmt: skip


def test_saving_by_the_clock_saves_and_tells(tmp_path: Path, pictures: Pictures) -> None:
    told: list[Path] = []
    execution = replace(HERE, save_minutes=1e-9)
    train(CONFIG, pictures, tmp_path, on_save=told.append, progress=False, execution=execution)
    assert told == [tmp_path / MODEL] * CONFIG.steps


def test_a_checkpoint_lists_the_checksum_of_each_picture(
    tmp_path: Path, pictures: Pictures
) -> None:
    written = train(CONFIG, pictures, tmp_path, progress=False, execution=HERE)
    checksum = hashlib.sha256(pictures.sharp[0].read_bytes()).hexdigest()
    assert load_tensors(written)[1].stages[-1].files == {"a.png": checksum}


def test_stages_follow_one_another_and_the_list_of_pictures_is_kept_once(
    tmp_path: Path, pictures: Pictures
) -> None:
    stages = (
        replace(CONFIG, steps=2, loss=RECIPES["predictor"]),
        replace(CONFIG, steps=3, learning_rate=1e-4, seed=1),
    )
    written = train_stages(stages, pictures, tmp_path, progress=False, execution=HERE)
    assert written == tmp_path / MODEL
    card = load_tensors(written)[1]
    assert [stage.config for stage in card.stages] == list(stages)
    assert [len(stage.files) for stage in card.stages] == [1, 0]
    again = (tmp_path / LAST).stat().st_mtime_ns
    train_stages(stages, pictures, tmp_path, progress=False, execution=HERE)
    assert (tmp_path / LAST).stat().st_mtime_ns == again


def test_a_stage_that_was_stopped_is_not_followed_by_the_next(
    tmp_path: Path, pictures: Pictures
) -> None:
    stages = (TIMED, replace(TIMED, seed=1))
    written = train_stages(
        stages, pictures, tmp_path, within_s=0.01, progress=False, execution=HERE
    )
    assert written == tmp_path / "stage-1" / MODEL
    card = load_tensors(written)[1]
    assert find_stage(stages, card) == 0
    whole = replace(card, stages=(replace(card.stages[0], seconds=60.0),))
    assert find_stage(stages, whole) == 1
    assert find_stage((replace(TIMED, seed=5),), card) == 0
