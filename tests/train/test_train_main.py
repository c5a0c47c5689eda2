"""The command line of training: recipes, options over them, and what is said without torch."""

from __future__ import annotations

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
from train.__main__ import CONFIG, build_parser, main, to_config, to_execution
from train.checkpoint import load_tensors
from train.config import PRESETS, TrainConfig
from train.recipes import RECIPES_BY_NAME


def config_of(*options: str) -> TrainConfig:
    return to_config(build_parser().parse_args(["pictures", *options]))


@pytest.mark.parametrize("name", RECIPES_BY_NAME)
def test_a_recipe_alone_is_its_own_configuration(name: str) -> None:
    assert config_of("--recipe", name) == RECIPES_BY_NAME[name].config


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
    assert to_execution(arguments, to_config(arguments)).accumulate == parts


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
    assert msgspec.convert(saved["config"], TrainConfig) == card.config
    assert '"recipe": "predictor"' in capsys.readouterr().out


@pytest.mark.parametrize("data", [[], ["a", "--data", "b"]])
def test_data_must_be_given_once(data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*data, "-o", "run"]) == 2
    assert "wanted is one folder of pictures" in capsys.readouterr().err


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


def test_command_lines_can_be_imported_without_torch() -> None:
    names = ("__main__", "bench", "evaluate", "sweep")
    code = "import sys\nsys.modules['torch'] = None\n" + "".join(
        f"import train.{name}\n" for name in names
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
