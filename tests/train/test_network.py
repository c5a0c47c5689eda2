from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from runtime.errors import OptionError
from train.config import PRESETS, ModelConfig
from train.network import Model, UNet, unet_radius_px


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def gflop_at_720p(network: UNet) -> float:
    """2 x MAC by torch's counter, plus one addition for each value a bias is added to."""
    biases = 0

    def add(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal biases
        biases += output.numel() if isinstance(module, nn.Conv2d) else 0

    for module in network.modules():
        module.register_forward_hook(add)
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, 720, 1280, device="meta"))
    return (counter.get_total_flops() + biases) / 1e9


@pytest.mark.parametrize(
    ("channels", "parameters"), [(16, 1_632_547), (32, 6_520_899), (64, 26_065_027)]
)
def test_predictors_have_the_papers_parameters(channels: int, parameters: int) -> None:
    with torch.device("meta"):
        assert count(UNet(3, channels)) == parameters


@pytest.mark.parametrize(("channels", "gflop"), [(16, 301), (32, 1200), (64, 4790)])
def test_predictors_have_the_papers_work_to_three_digits(channels: int, gflop: float) -> None:
    with torch.device("meta"):
        measured = gflop_at_720p(UNet(3, channels))
    assert float(f"{measured:.3g}") == gflop


def test_the_papers_model_has_32_99_million_parameters() -> None:
    with torch.device("meta"):
        assert round(count(Model(PRESETS["paper"])) / 1e6, 2) == 32.99


def test_there_is_no_normalisation_and_no_attention() -> None:
    with torch.device("meta"):
        kinds = {type(module) for module in Model(PRESETS["paper"]).modules()}
    leaves = {kind for kind in kinds if kind.__module__.startswith("torch.nn.modules")}
    assert leaves == {nn.Conv2d, nn.Linear, nn.Identity, nn.ModuleList}


@pytest.mark.parametrize("unshuffle", [1, 2])
def test_an_untrained_model_returns_its_input_and_no_residual(unshuffle: int) -> None:
    model = Model(ModelConfig(4, 4, unshuffle=unshuffle))
    y, z = torch.rand(2, 3, 32, 48), torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        assert torch.equal(model.predict(y), y)
        assert torch.equal(model.denoise(y, z, torch.zeros(2)), torch.zeros_like(y))


@pytest.mark.parametrize("unshuffle", [1, 2])
def test_any_multiple_of_the_size_rule_works(unshuffle: int) -> None:
    model = Model(ModelConfig(4, 4, unshuffle=unshuffle))
    side = model.size_multiple_px
    assert model.predict(torch.rand(1, 3, side, 3 * side)).shape == (1, 3, side, 3 * side)


def test_a_level_has_the_blocks_asked_for_and_its_decoder_one_more() -> None:
    network = UNet(3, 2, blocks=2)
    # Between levels there is a block more that changes the size.
    assert len(network.encoder) == 4 * 2 + 3
    assert [len(stage) for stage in network.decoder] == [4, 4, 4, 3]


@pytest.mark.parametrize("blocks", [0, -1])
def test_no_blocks_are_refused(blocks: int) -> None:
    with pytest.raises(OptionError, match=f"got {blocks} blocks on each level; .* at least 1"):
        ModelConfig(blocks=blocks)


@pytest.mark.parametrize("blocks", [1, 3])
def test_no_input_beyond_the_receptive_radius_matters(blocks: int) -> None:
    network = UNet(3, 2, blocks=blocks)
    nn.init.ones_(network.head.weight)
    x = torch.rand(1, 3, 8, 768, requires_grad=True)
    network(x)[0, :, 4, 384].sum().backward()
    assert x.grad is not None
    reach = (x.grad[0].abs().sum(dim=(0, 1)).nonzero().ravel() - 384).abs().max()
    assert 0.5 * unet_radius_px(blocks) < reach <= unet_radius_px(blocks)


def test_features_keep_their_size_through_the_network() -> None:
    """With torch's own initialisation the decoder's signal dies by a factor of 6,000."""
    torch.manual_seed(0)
    network = UNet(3, 16)
    seen = []
    network.decoder[-1].register_forward_hook(lambda *_: None)
    network.head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].std().item()))
    with torch.no_grad():
        network(torch.randn(1, 3, 64, 64))
    assert 0.2 < seen[0] < 5.0


def test_the_level_changes_the_output() -> None:
    model = Model(ModelConfig(4, 4))
    nn.init.normal_(model.denoiser.head.weight)
    y = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        first, second = model.denoise(y[:1].repeat(2, 1, 1, 1), y, torch.tensor([-3.0, 9.0]))
        assert not torch.allclose(first, second)


def test_a_missing_level_is_refused() -> None:
    with pytest.raises(ValueError, match="takes a level"):
        UNet(6, 4, conditional=True)(torch.zeros(1, 6, 8, 8))
