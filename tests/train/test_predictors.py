"""Predictors other than the paper's U-Net: their sizes, their work, and what turning does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from train.checkpoint import FORMAT, Card, load_model, save_tensors
from train.config import PRESETS, ModelConfig, TrainConfig
from train.network import Model, UNet, UNetXY
from train.rotated import XY_RECEPTIVE_RADIUS_PX, XYDeblur, decode_twice

SMALL = {
    "xydeblur": ModelConfig(4, 4, blocks=1, predictor="xydeblur"),
    "unet-xy": ModelConfig(4, 4, blocks=1, predictor="unet-xy"),
    "xydeblur folded": ModelConfig(4, 4, blocks=1, predictor="xydeblur", unshuffle=2),
    "unet-xy folded": ModelConfig(4, 4, blocks=1, predictor="unet-xy", unshuffle=2),
    "direct": ModelConfig(0, 4, blocks=1, predictor="direct"),
}
# The presets paper and edge have the shape of the bundle that most tests use; this is tiny's.
EXPORTED = {
    **SMALL,
    "unet at two scales": ModelConfig(4, 4, blocks=1, unshuffle=2, predictor_scales=2),
}


def count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def count_gmac(module: nn.Module, height_px: int, width_px: int) -> float:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module.to("meta")(torch.empty(1, 3, height_px, width_px))
    return counter.get_total_flops() / 2e9


def build(name: str) -> Model:
    torch.manual_seed(0)
    model = Model(EXPORTED[name]).eval()
    for network in (model.predictor, model.denoiser):
        if network is not None:
            nn.init.normal_(network.head.weight, std=0.05)
    return model


def picture(height_px: int, width_px: int) -> Tensor:
    return torch.rand(1, 3, height_px, width_px, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_xydeblur_has_the_published_4_919_million_parameters() -> None:
    parameters = count_parameters(XYDeblur(3, 32))
    assert parameters == 4_918_627
    assert round(parameters / 1e6, 3) == 4.919


def test_xydeblur_takes_the_published_965_9_gmac_at_720p() -> None:
    assert count_gmac(XYDeblur(3, 32), 720, 1280) == pytest.approx(965.9, abs=0.05)


def test_its_single_decoder_twin_takes_640_5_gmac() -> None:
    network = XYDeblur(3, 32)
    network.forward = lambda x: network.decode(network.encode(x))  # type: ignore[method-assign]
    assert count_gmac(network, 720, 1280) == pytest.approx(640.5, abs=0.05)


def test_unet_xy_has_the_parameters_of_the_unet_under_the_same_names() -> None:
    once, twice = UNet(3, 8), UNetXY(3, 8)
    assert {n: p.shape for n, p in once.named_parameters()} == {
        n: p.shape for n, p in twice.named_parameters()
    }


def test_direct_is_the_conditional_model_of_27_68_million_parameters() -> None:
    with torch.device("meta"):
        model = Model(PRESETS["direct"])
    assert model.predictor is None
    assert count_parameters(model) == 27_678_851
    assert round(count_parameters(model) / 1e6, 2) == 27.68


@pytest.mark.parametrize("width", [16, 32, 64])
def test_table_4_has_a_preset_for_each_predictor(width: int) -> None:
    assert PRESETS[f"table4-{width}"].predictor_channels == width


def test_direct_guesses_nothing_so_that_the_residual_is_the_picture() -> None:
    y = picture(16, 24)
    assert torch.equal(build("direct").predict(y), torch.zeros_like(y))


@pytest.mark.parametrize("unshuffle", [1, 2])
def test_turning_there_and_back_is_exact(unshuffle: int) -> None:
    folded = torch.randn(2, 3 * unshuffle**2, 6, 10)
    # Unfolding, turning and folding what is decoded must meet features turned the same way.
    pixels = nn.functional.pixel_shuffle(folded, unshuffle)

    def decode(features: list[Tensor]) -> Tensor:
        turned = features[0].shape[2:] == (10, 6)
        source = torch.rot90(pixels, 1, (2, 3)) if turned else pixels
        return nn.functional.pixel_unshuffle(source, unshuffle)

    assert torch.equal(decode_twice([folded], decode, unshuffle), 2 * folded)


@pytest.mark.parametrize("name", ["xydeblur", "unet-xy"])
def test_both_passes_use_the_decoder_the_second_on_turned_features(name: str) -> None:
    network = build(name).predictor
    assert isinstance(network, UNetXY | XYDeblur)
    x = picture(16, 24)
    encoded = network.encode(x, None) if isinstance(network, UNetXY) else network.encode(x)
    straight = network.decode(list(encoded))
    turned = network.decode([torch.rot90(feature, 1, (2, 3)) for feature in encoded])
    assert turned.shape[2:] == (24, 16)
    total = straight + torch.rot90(turned, -1, (2, 3))
    assert torch.allclose(network(x), total, atol=1e-6)
    assert not torch.allclose(network(x), 2 * straight, atol=1e-3)


@pytest.mark.parametrize("name", SMALL)
def test_every_predictor_works_at_oblong_sizes_and_learns(name: str) -> None:
    model = build(name)
    y = picture(32, 48)
    guess = model.predict(y)
    assert guess.shape == y.shape
    if model.predictor is not None:
        guess.square().mean().backward()
        gradients = [parameter.grad for parameter in model.predictor.parameters()]
        assert all(g is not None and g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize("name", ["xydeblur", "unet-xy"])
def test_an_untrained_predictor_returns_its_input(name: str) -> None:
    y = picture(16, 24)
    assert torch.equal(Model(SMALL[name]).predict(y), y)


def test_nothing_beyond_the_receptive_radius_changes_a_pixel() -> None:
    torch.manual_seed(0)
    network = XYDeblur(3, 2)
    nn.init.normal_(network.head.weight, std=0.5)
    side = 2 * (XY_RECEPTIVE_RADIUS_PX + 8)
    x = torch.randn(1, 3, 8, side, dtype=torch.float64, requires_grad=True)
    network.double()(x)[0, :, 4, side // 2].sum().backward()
    assert x.grad is not None
    reached = torch.nonzero(x.grad.abs().sum((0, 1, 2))).flatten() - side // 2
    reach = int(reached.abs().max())
    assert 0.8 * XY_RECEPTIVE_RADIUS_PX < reach <= XY_RECEPTIVE_RADIUS_PX


@pytest.mark.parametrize("name", SMALL)
def test_a_checkpoint_remembers_its_predictor(tmp_path: Path, name: str) -> None:
    model = build(name)
    path = tmp_path / "model.safetensors"
    config = TrainConfig(model=SMALL[name])
    save_tensors(path, model.state_dict(), Card(FORMAT, config, 0))
    loaded, card = load_model(path)
    assert card.config == config
    y = picture(16, 32)
    assert torch.equal(loaded.predict(y), model.predict(y))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "prediction"),
    [("unet at two scales", "v"), ("xydeblur", "v"), ("unet-xy folded", "x0"), ("direct", "x0")],
)
def test_a_bundle_of_every_predictor_runs_in_the_runtime(
    tmp_path: Path, name: str, prediction: str
) -> None:
    from export.onnx import export
    from runtime.session import Session

    model = build(name)
    config = TrainConfig(model=replace(EXPORTED[name], prediction=prediction))  # type: ignore[arg-type]
    checkpoint = tmp_path / "model.safetensors"
    save_tensors(checkpoint, model.state_dict(), Card(FORMAT, config, 0))
    export(checkpoint, tmp_path / "bundle")
    image = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    with Session(tmp_path / "bundle", engine="onnx-cpu") as session:
        assert session.deblur(image, steps=2, samples=1, preset="realtime").shape == image.shape


def test_checkpoints_of_before_these_predictors_are_read_as_the_unet(tmp_path: Path) -> None:
    config = TrainConfig(model=ModelConfig(4, 4))
    model = Model(config.model)
    card = msgspec.to_builtins(Card(FORMAT, config, 3))
    del card["config"]["model"]["predictor"], card["skipped"], card["best_db"]
    for name in ("rotation_fraction", "jpeg_quality_min", "highlight_gain_max"):
        del card["config"]["data"]["blur"][name]
    path = tmp_path / "old.safetensors"
    save_file(model.state_dict(), path, {"card": msgspec.json.encode(card).decode()})
    assert load_model(path)[1] == Card(FORMAT, config, 3)
