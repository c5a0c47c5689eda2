"""A student of few steps: what it is taught is what will be run, and it learns it."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
import torch
from torch import Tensor

from export.presets import PRESETS
from runtime.errors import OptionError
from runtime.samplers import Prediction, compile_table
from train.config import DistillConfig, ModelConfig
from train.lessons import Distillation, advance, few_steps, lesson
from train.network import Model
from train.objective import draw_levels


def random_model(prediction: str) -> Model:
    torch.manual_seed(0)
    model = Model(ModelConfig(4, 4, prediction=prediction, unshuffle=2))  # type: ignore[arg-type]
    for network in (model.predictor, model.denoiser):
        torch.nn.init.normal_(network.head.weight, std=0.2)  # type: ignore[union-attr, arg-type]
    return model


def batch(count: int = 8) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    import numpy as np

    generator = torch.Generator().manual_seed(1)
    y, noise = (torch.randn(count, 3, 32, 32, generator=generator) for _ in range(2))
    x = y + 0.1 * torch.randn(count, 3, 32, 32, generator=generator)
    return y, x, draw_levels(count, np.random.default_rng(0)), noise


def rows_of(config: DistillConfig, steps: int, prediction: str, which: Tensor) -> Tensor:
    table = compile_table(few_steps(config, steps), prediction)  # type: ignore[arg-type]
    return torch.from_numpy(table.rows).float()[which]


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_students_levels_are_every_other_one_of_its_teachers(steps: int) -> None:
    config = DistillConfig(steps)
    levels = compile_table(few_steps(config), "x0").column("level")
    finer = compile_table(few_steps(config, 2 * steps), "x0").column("level")
    assert levels == pytest.approx(finer[::2])


def test_two_steps_are_those_of_the_preset_realtime() -> None:
    assert few_steps(DistillConfig(2)) == PRESETS["realtime"].sampler


@pytest.mark.parametrize("prediction", get_args(Prediction))
def test_a_network_that_returns_the_lesson_lands_where_the_teacher_does(prediction: str) -> None:
    config, which = DistillConfig(4), torch.arange(4)
    y, x, _, z = batch(4)
    rows = rows_of(config, 4, prediction, which)
    wanted = lesson(z, x, rows)

    class Pupil(Model):
        def denoise(self, y: Tensor, z: Tensor, level: Tensor) -> Tensor:
            return wanted

    landed = advance(Pupil(ModelConfig(4, 4)), y, z, rows)
    torch.testing.assert_close(landed, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", ["x0", "v", "edm"])
def test_a_student_gets_nearer_to_its_teachers_two_steps(prediction: str) -> None:
    config = DistillConfig(1, noisiest=-1.0, cleanest=9.0, keep=0.0)
    teacher = random_model(prediction)
    student = copy.deepcopy(teacher)
    objective = Distillation(student, teacher, config)
    y, x, level, noise = batch(4)
    first = torch.zeros(len(y), dtype=torch.long)
    row = rows_of(config, 1, prediction, first)
    once, twice = (rows_of(config, 2, prediction, first + index) for index in (0, 1))
    start = compile_table(few_steps(config), prediction).start * noise  # type: ignore[arg-type]

    def distance() -> float:
        with torch.no_grad():
            after = advance(teacher, y, advance(teacher, y, start, once), twice)
            return float((advance(student, y, start, row) - after).square().mean())

    before = distance()
    weights = [p for p in student.denoiser.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=3e-4)
    for _ in range(8):
        optimizer.zero_grad()
        objective(y, x, level, noise)["loss"].backward()
        optimizer.step()
    assert distance() < 0.9 * before


def test_a_teacher_and_the_predictor_are_left_as_they_are() -> None:
    teacher = random_model("x0")
    student = copy.deepcopy(teacher)
    student.predictor.requires_grad_(False)  # type: ignore[union-attr]
    Distillation(student, teacher, DistillConfig(2))(*batch())["loss"].backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert all(p.grad is None for p in student.predictor.parameters())  # type: ignore[union-attr]
    assert any(p.grad is not None for p in student.denoiser.parameters())


def test_every_step_of_a_student_gets_its_share_of_the_samples() -> None:
    import numpy as np

    objective = Distillation(random_model("x0"), random_model("x0"), DistillConfig(4))
    turns = objective._turns(draw_levels(4000, np.random.default_rng(0)))
    assert torch.bincount(turns).tolist() == pytest.approx([1000] * 4, abs=120)


def test_a_model_that_predicts_noise_is_refused_where_all_is_noise() -> None:
    with pytest.raises(OptionError, match="predicts noise"):
        Distillation(random_model("eps"), random_model("eps"), DistillConfig(noisiest=-4.0))


@pytest.mark.parametrize(
    "values", [{"steps": 0}, {"noisiest": 9.0, "cleanest": 1.0}, {"keep": 1.0}]
)
def test_a_distillation_that_cannot_be_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="wanted are at least 1 step"):
        DistillConfig(**values)  # type: ignore[arg-type]
