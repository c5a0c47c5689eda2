"""Networks that begin as another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from thin_networks import build, picture
from torch import nn
from torch.nn import functional

from runtime.errors import CheckpointError, OptionError
from runtime.samplers import SamplerConfig, compile_table
from train.__main__ import main
from train.checkpoint import FORMAT, Card, load_model, save_tensors
from train.config import PRESETS, Execution, ModelConfig, TrainConfig
from train.loop import check_options
from train.network import Model
from train.run import new_run
from train.transfer import join

ONE = ModelConfig(4, 4, unshuffle=2, prediction="x0")
TWO = replace(ONE, predictor_scales=2)


def save(config: ModelConfig, path: Path) -> Path:
    save_tensors(path, build(config).state_dict(), Card(FORMAT, TrainConfig(model=config), 0))
    return path


@pytest.fixture
def weights_of_one_scale(tmp_path: Path) -> Path:
    return save(ONE, tmp_path / "one.safetensors")


def test_weights_of_one_scale_begin_as_the_mean_over_both(weights_of_one_scale: Path) -> None:
    run = new_run(TrainConfig(model=TWO), init=weights_of_one_scale)
    y = picture(32, 64)
    with torch.no_grad():
        alone = build(ONE).predict
        half = functional.avg_pool2d(y, 2)
        coarse = functional.interpolate(alone(half) - half, scale_factor=2.0, mode="bilinear")
        expected = y + 0.5 * (coarse + alone(y) - y)
        assert torch.allclose(run.model.predict(y), expected, atol=1e-6)


def test_weights_of_two_scales_begin_no_run_of_one(tmp_path: Path) -> None:
    path = save(TWO, tmp_path / "two.safetensors")
    with pytest.raises(CheckpointError, match=r"predictor\.stem\.weight"):
        new_run(TrainConfig(model=ONE), init=path)


def begin_from_predictor(config: ModelConfig, path: Path) -> Model:
    wanted = TrainConfig(model=config, denoiser_from_predictor=True)
    return new_run(wanted, init=save(config, path)).model


@pytest.mark.parametrize("config", [ONE, TWO], ids=["one scale", "two scales"])
def test_a_denoiser_from_the_predictor_sees_what_the_predictor_sees(
    config: ModelConfig, tmp_path: Path
) -> None:
    model = begin_from_predictor(config, tmp_path / "weights.safetensors")
    assert isinstance(model.predictor, nn.Module)
    model.denoiser.head.load_state_dict(model.predictor.head.state_dict())
    y, z = picture(32, 64), picture(32, 64, seed=2)
    folded = functional.pixel_unshuffle(y, 2)
    if config.predictor_scales > 1:
        folded = torch.cat([folded, torch.zeros_like(folded)], dim=1)
    with torch.no_grad():
        expected = functional.pixel_shuffle(model.predictor(folded), 2)
        for level in (-4.0, 8.0):
            denoised = model.denoise(y, z, torch.tensor([level]))
            assert torch.allclose(denoised, expected, atol=1e-6)


def test_a_denoiser_from_the_predictor_begins_without_a_change(tmp_path: Path) -> None:
    model = begin_from_predictor(TWO, tmp_path / "weights.safetensors")
    with torch.no_grad():
        denoised = model.denoise(picture(32, 64), picture(32, 64, seed=2), torch.zeros(1))
    assert torch.equal(denoised, torch.zeros_like(denoised))


def test_a_denoiser_from_the_predictor_leaves_the_predictor_as_it_is(tmp_path: Path) -> None:
    model = begin_from_predictor(TWO, tmp_path / "weights.safetensors")
    y = picture(32, 64)
    with torch.no_grad():
        assert torch.allclose(model.predict(y), build(TWO).predict(y), atol=1e-6)


def test_a_denoiser_from_the_predictor_learns_to_listen_to_noise_and_level(
    tmp_path: Path,
) -> None:
    model = begin_from_predictor(TWO, tmp_path / "weights.safetensors")
    nn.init.normal_(model.denoiser.head.weight)
    model.denoise(
        picture(32, 64), picture(32, 64, seed=2), torch.zeros(1)
    ).square().mean().backward()
    stem = model.denoiser.stem.weight.grad
    levels = [w.grad for name, w in model.denoiser.named_parameters() if ".level." in name]
    assert stem is not None
    assert stem[:, 12:].abs().sum() > 0
    assert levels
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in levels)


@pytest.mark.parametrize("preset", ["edge", "xydeblur"])
def test_networks_that_are_not_alike_are_not_copied(preset: str) -> None:
    config = TrainConfig(model=PRESETS[preset], denoiser_from_predictor=True)
    with pytest.raises(OptionError, match="wanted is 'unet' and one width"):
        check_options(config, Execution())


def test_a_predictor_to_copy_must_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [str(tmp_path), "--recipe", "denoiser", "--denoiser-from-predictor"]
    assert main([*asked, "-o", str(tmp_path / "run")]) == 2
    assert "got --denoiser-from-predictor and no --init" in capsys.readouterr().err


def test_a_denoiser_of_x0_goes_on_as_edm_where_nearly_all_is_noise(tmp_path: Path) -> None:
    before = build(ONE)
    nn.init.normal_(before.denoiser.head.weight, std=0.05)
    path = tmp_path / "x0.safetensors"
    save_tensors(path, before.state_dict(), Card(FORMAT, TrainConfig(model=ONE), 0))
    after = new_run(TrainConfig(model=replace(ONE, prediction="edm")), init=path).model
    y, z, level = picture(32, 64), picture(32, 64, seed=2), torch.tensor([-9.0])
    row = compile_table(SamplerConfig(schedule="log-snr", steps=1, noisiest=-9.0), "edm").rows[0]
    with torch.no_grad():
        estimate = row[1] * z + row[2] * after.denoise(y, z, level)
        # What the preconditioning keeps of the state at this level: a part in ten thousand.
        assert torch.allclose(estimate, before.denoise(y, z, level), atol=1e-3)


WIDE = replace(TWO, predictor_channels=8)


@pytest.fixture
def weights_of_two_scales(tmp_path: Path) -> Path:
    return save(TWO, tmp_path / "two.safetensors")


def test_a_wider_predictor_begins_with_the_pictures_of_the_narrow_one(
    weights_of_two_scales: Path,
) -> None:
    run = new_run(TrainConfig(model=WIDE), init=weights_of_two_scales)
    y = picture(32, 64)
    with torch.no_grad():
        # Sums in another order: float32 has seven digits, and 36 blocks follow one another.
        assert torch.allclose(run.model.predict(y), build(TWO).predict(y), atol=1e-5)


def test_a_wider_predictor_has_weights_as_large_as_fresh_ones(weights_of_two_scales: Path) -> None:
    name = "encoder.1.first.weight"
    grown = new_run(TrainConfig(model=WIDE), init=weights_of_two_scales).model.predictor
    fresh = new_run(TrainConfig(model=WIDE)).model.predictor
    assert grown is not None
    assert fresh is not None
    # 576 weights of a grown layer, of which every four have one origin: 8 % is their luck.
    spreads = [float(network.state_dict()[name].std()) for network in (grown, fresh)]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.25)


def test_copies_of_a_feature_learn_different_things(weights_of_two_scales: Path) -> None:
    model = new_run(TrainConfig(model=WIDE), init=weights_of_two_scales).model
    model.predict(picture(32, 64)).square().mean().backward()
    weight = model.predictor.get_submodule("encoder.1.first").weight  # type: ignore[union-attr]
    gradient = weight.grad
    assert not torch.allclose(gradient[0], gradient[1])
    assert not torch.allclose(weight[0], weight[1])


def test_a_predictor_does_not_grow_by_half(weights_of_two_scales: Path) -> None:
    config = TrainConfig(model=replace(TWO, predictor_channels=6))
    with pytest.raises(CheckpointError, match="does not fit the model"):
        new_run(config, init=weights_of_two_scales)


def test_a_predictor_and_a_denoiser_are_joined(tmp_path: Path) -> None:
    wide = replace(TWO, predictor_channels=8)
    first = save(wide, tmp_path / "wide.safetensors")
    second = save(replace(ONE, prediction="edm"), tmp_path / "edm.safetensors")
    joined, card = load_model(join(first, second, tmp_path / "made" / "both.safetensors"))
    assert card.config.model == replace(wide, prediction="edm")
    y, z, level = picture(32, 64), picture(32, 64, seed=2), torch.zeros(1)
    with torch.no_grad():
        assert torch.equal(joined.predict(y), build(wide).predict(y))
        assert torch.equal(joined.denoise(y, z, level), build(ONE).denoise(y, z, level))


def test_networks_that_fold_pixels_otherwise_are_not_joined(tmp_path: Path) -> None:
    first = save(ONE, tmp_path / "folded.safetensors")
    second = save(replace(ONE, unshuffle=1), tmp_path / "flat.safetensors")
    with pytest.raises(OptionError, match="checkpoints of one unshuffle"):
        join(first, second, tmp_path / "both.safetensors")
    assert not (tmp_path / "both.safetensors").exists()


def test_a_denoiser_to_begin_with_wants_a_predictor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [str(tmp_path), "--recipe", "denoiser", "--init-denoiser", str(tmp_path / "it")]
    assert main([*asked, "-o", str(tmp_path / "run")]) == 2
    assert "got --init-denoiser without --init" in capsys.readouterr().err
