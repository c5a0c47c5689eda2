"""The command line of training: recipes, options over them, and what is said without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from train import extras
from train.__main__ import CONFIG, build_parser, main, to_execution
from train.checkpoint import load_tensors
from train.config import BLURS, PRESETS, TrainConfig
from train.options import to_stages
from train.recipes import GPU_BATCH, RECIPES_BY_NAME


def stages_of(*options: str, gpu: bool = False) -> tuple[TrainConfig, ...]:
    return to_stages(build_parser().parse_args(["pictures", *options]), gpu=gpu)


def test_a_recipe_keeps_its_own_blur_unless_another_is_asked_for() -> None:
    blurs = {
        options: stages_of("--recipe", "reference-tiny", *options)[0].data.blur
        for options in ((), ("--blur", "shake"), ("--longest-blur", "9"))
    }
    assert blurs[()] == BLURS["mixed"]
    assert blurs["--blur", "shake"] == BLURS["shake"]
    assert blurs["--longest-blur", "9"] == replace(BLURS["mixed"], longest_px=9.0)


def config_of(*options: str) -> TrainConfig:
    (config,) = stages_of(*options)
    return config


@pytest.mark.parametrize("name", RECIPES_BY_NAME)
def test_a_recipe_alone_is_its_own_configuration(name: str) -> None:
    assert stages_of("--recipe", name) == RECIPES_BY_NAME[name].stages


@pytest.mark.parametrize("preset", ["tiny", "edge", "paper"])
def test_reference_weights_are_a_predictor_first_then_the_denoiser_behind_it(preset: str) -> None:
    first, second = stages_of("--recipe", f"reference-{preset}")
    assert (first.loss.denoise, first.loss.pixel) == (0.0, 1.0)
    assert (second.loss.denoise, second.loss.pixel) == (1.0, 0.0)
    assert second.loss.predictor_frozen
    assert second.learning_rate < first.learning_rate == 1.5e-3
    assert first.batch >= 8
    assert first.model == second.model == replace(PRESETS[preset], prediction="edm")
    assert first.seed != second.seed


def test_minutes_are_shared_among_the_stages_of_a_recipe() -> None:
    first, second = stages_of("--recipe", "reference-tiny", "--minutes", "40")
    assert (first.minutes, second.minutes) == pytest.approx((24, 16))
    assert config_of("--recipe", "predictor", "--minutes", "3").minutes == 3


def test_steps_are_shared_among_the_stages_of_a_recipe() -> None:
    stages = stages_of("--recipe", "reference-tiny", "--steps", "100")
    assert [(stage.steps, stage.minutes) for stage in stages] == [(60, None), (40, None)]


def test_later_stages_keep_their_ratio_to_a_learning_rate_given() -> None:
    first, second = stages_of("--recipe", "reference-edge", "--learning-rate", "0.003")
    assert (first.learning_rate, second.learning_rate) == pytest.approx((3e-3, 2e-3))


def test_on_a_gpu_a_reference_recipe_takes_a_larger_batch() -> None:
    stages = stages_of("--recipe", "reference-edge", gpu=True)
    assert [stage.batch for stage in stages] == [GPU_BATCH, GPU_BATCH]
    assert RECIPES_BY_NAME["reference-edge"].parts(GPU_BATCH, 1, gpu=True) == 1
    given = stages_of("--recipe", "reference-edge", "--batch", "12", gpu=True)
    assert [stage.batch for stage in given] == [12, 12]


def test_minutes_must_be_positive(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pictures", "--minutes", "0"]) == 2
    assert "got 0.0 minutes; wanted are more than 0" in capsys.readouterr().err


def test_the_papers_recipe_is_the_papers() -> None:
    config = config_of("--recipe", "paper")
    assert (config.model.predictor_channels, config.model.denoiser_channels) == (64, 32)
    assert config.model.prediction == "eps"
    assert (config.loss.denoise, config.loss.pixel, config.loss.denoise_norm) == (1.0, 0.0, "l1")
    assert (config.batch, config.ema_decay, config.data.crop_px) == (256, 0.9999, 128)
    assert config.warmup_steps > 0


def test_options_given_beside_a_recipe_override_it_and_nothing_else() -> None:
    recipe = RECIPES_BY_NAME["paper"].config
    config = config_of("--recipe", "paper", "--preset", "edge", "--batch", "12", "--max-steps", "7")
    model = replace(PRESETS["edge"], prediction="eps")
    assert config == replace(recipe, model=model, batch=12, steps=7)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--recipe", "paper"], 32),
        (["--recipe", "paper", "--devices", "4"], 8),
        (["--recipe", "paper", "--batch", "20"], 4),
        (["--recipe", "paper", "--accumulate", "2"], 2),
        ([], 1),
    ],
)
def test_a_batch_is_cut_into_parts_that_fit(options: list[str], parts: int) -> None:
    arguments = build_parser().parse_args(["pictures", *options])
    assert to_execution(arguments, to_stages(arguments)[0]).accumulate == parts


def test_a_run_prints_its_configuration_and_saves_it_beside_the_weights(
    tmp_path: Path, photograph: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), photograph[:64, 180:244])
    options = [
        "--preset", "tiny", "--recipe", "predictor", "--data", str(tmp_path / "pictures"),
        "-o", str(tmp_path / "run"), "--max-steps", "2", "--batch", "2", "--crop", "32",
        "--warmup", "2", "--float32", "--workers", "0", "--longest-blur", "12",
    ]  # fmt: skip
    assert main(options) == 0
    saved = msgspec.json.decode((tmp_path / "run" / CONFIG).read_bytes())
    assert saved["recipe"] == "predictor"
    _, card = load_tensors(tmp_path / "run" / "model.safetensors")
    assert msgspec.convert(saved["stages"], list[TrainConfig]) == [card.config]
    shown = capsys.readouterr().out
    assert '"recipe": "predictor"' in shown
    assert re.search(r"step 2, mean loss \d\.\d+ at first, \d\.\d+ at last .* crops/s", shown)


@pytest.mark.parametrize("data", [[], ["a", "--data", "b"]])
def test_data_must_be_given_once(data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*data, "-o", "run"]) == 2
    assert "wanted is one folder of pictures" in capsys.readouterr().err


@pytest.mark.parametrize("crop_px", ["48", "0"])
def test_crops_that_the_networks_cannot_take_are_refused(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], crop_px: str
) -> None:
    assert main([str(pairs), "--crop", crop_px, "-o", str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err
    assert f"got crops of {crop_px} px; wanted is a multiple of the 32 px" in message
    assert not (tmp_path / "run").exists()


def test_scales_and_blocks_are_the_models() -> None:
    options = ("--scales", "3", "--blocks", "2")
    config = config_of("--recipe", "predictor", "--preset", "edge", *options)
    assert config.model == replace(PRESETS["edge"], predictor_scales=3, blocks=2)


def test_a_list_of_names_that_is_missing_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--only", str(tmp_path / "none.txt")]) == 2
    assert "none.txt as a list of names" in capsys.readouterr().err


def test_without_torch_training_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert main(["pictures"]) == 2
    assert capsys.readouterr().err == (
        "python -m train: the Python module 'torch' is not installed; "
        "type: pip install 'dvsr-edge[train]'\n"
    )


def test_training_on_one_device_needs_no_library_for_several() -> None:
    code = "import sys\nsys.modules['lightning_fabric'] = None\nimport train.chunks"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_several_devices_need_the_library_for_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: name != "lightning_fabric" or None)
    assert main(["pictures", "--devices", "2"]) == 2
    assert "'lightning_fabric' is not installed" in capsys.readouterr().err


def test_command_lines_can_be_imported_without_torch() -> None:
    names = ("__main__", "bench", "distill", "evaluate", "naturalness", "sweep")
    code = "import sys\nsys.modules['torch'] = None\n" + "".join(
        f"import train.{name}\n" for name in names
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
