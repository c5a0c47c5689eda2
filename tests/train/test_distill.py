"""The command that distills: rounds, the comparison at equal steps, and the better weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import pytest
import skimage.data

from train.checkpoint import load_tensors, save_tensors
from train.config import PRESETS, TrainConfig
from train.distill import RESULT, build_parser, main, to_rounds
from train.students import Result


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    sharp = skimage.data.astronaut()[:64, 180:244, ::-1]
    for side, image in (("blur", cv2.blur(sharp, (3, 3))), ("sharp", sharp)):
        (folder / side).mkdir()
        cv2.imwrite(str(folder / side / "a.png"), image)
    return folder


def options(checkpoint: Path, pairs: Path, output: Path) -> list[str]:
    return [
        str(checkpoint), str(pairs / "sharp"), "-o", str(output), "--validation", str(pairs),
        "--batch", "4", "--train-steps", "2", "--accelerator", "cpu", "--workers", "0",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def teacher(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small random network, trained on crops that fit the small pictures of these tests."""
    from dataclasses import replace

    from train.config import BlurConfig, DataConfig

    tensors, card = load_tensors(checkpoint)
    data = DataConfig(crop_px=32, blur=BlurConfig(longest_px=8.0))
    config = replace(card.config, data=data, bfloat16=False)
    path = tmp_path_factory.mktemp("teacher") / "model.safetensors"
    save_tensors(path, tensors, replace(card, config=config))
    return path


@pytest.fixture(scope="module")
def distilled(teacher: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("distilled")
    assert main([*options(teacher, pairs, output), "--steps", "2", "1"]) == 0
    return output


def test_each_student_starts_where_the_one_before_ended(distilled: Path, teacher: Path) -> None:
    first, second = (
        load_tensors(distilled / f"{steps}-steps" / "model.safetensors") for steps in (2, 1)
    )
    assert [stage.config.distill.steps for stage in second[1].stages] == [2, 1]
    frozen = [name for name in second[0] if name.startswith("predictor.")]
    before = load_tensors(teacher)[0]
    assert all(second[0][name].equal(before[name]) for name in frozen)
    assert not all(tensor.equal(before[name]) for name, tensor in first[0].items())


def test_the_result_is_the_better_one_at_equal_steps(distilled: Path, teacher: Path) -> None:
    result = msgspec.json.decode((distilled / RESULT).read_bytes(), type=Result)
    by = {(entry.weights, entry.sampler): entry.values["psnr"] for entry in result.measured}
    (sampler,) = {s for name, s in by if name == "student of 2 steps" and s.eta == 0.0}
    gain = by["student of 2 steps", sampler] - by["teacher", sampler]
    assert result.gain_db == pytest.approx(gain, abs=1e-3)
    chosen = distilled / "2-steps" / "model.safetensors" if gain > 0 else teacher
    assert (distilled / "model.safetensors").read_bytes() == chosen.read_bytes()
    assert result.result == ("student" if gain > 0 else "teacher")


def test_the_comparison_names_predictor_ten_steps_and_each_student(distilled: Path) -> None:
    result = msgspec.json.decode((distilled / RESULT).read_bytes(), type=Result)
    assert [(entry.weights, entry.steps) for entry in result.measured] == [
        ("teacher", 0), ("teacher", 10),
        ("teacher", 2), ("student of 2 steps", 2), ("student of 2 steps", 10),
        ("teacher", 1), ("student of 1 step", 1), ("student of 1 step", 10),
    ]  # fmt: skip


def test_the_same_command_takes_no_step_twice(distilled: Path, teacher: Path, pairs: Path) -> None:
    last = distilled / "1-steps" / "last.safetensors"
    before = last.stat().st_mtime_ns
    assert main([*options(teacher, pairs, distilled), "--steps", "2", "1"]) == 0
    assert last.stat().st_mtime_ns == before


def test_no_student_begins_as_a_copy_of_the_predictor() -> None:
    base = TrainConfig(model=PRESETS["tiny"], denoiser_from_predictor=True)
    arguments = build_parser().parse_args(["model", "photos", "-o", "few", "--validation", "pairs"])
    assert not any(part.denoiser_from_predictor for part in to_rounds(base, arguments))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--steps", "4", "1"], "each the half of the one before"),
        (["--steps", "4", "--realtime", "2"], "--realtime 2; wanted is one of"),
    ],
)
def test_steps_that_do_not_fit_are_refused(
    teacher: Path,
    pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    said: str,
) -> None:
    assert main([*options(teacher, pairs, tmp_path), *given]) == 2
    assert said in capsys.readouterr().err
