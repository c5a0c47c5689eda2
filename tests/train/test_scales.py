"""The predictor that looks at a picture at several sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from thin_networks import build, picture
from torch import Tensor
from torch.nn import functional

from runtime.errors import OptionError
from train.config import MOST_SCALES, ModelConfig
from train.network import Model
from train.scales import correct_coarse_to_fine

ONE = ModelConfig(4, 4, unshuffle=2)
TWO = replace(ONE, predictor_scales=2)


def test_sizes_are_seen_from_coarse_to_fine_each_with_what_was_found_below() -> None:
    seen = []

    def network(x: Tensor) -> Tensor:
        seen.append(x)
        return torch.full_like(x[:, :3], float(len(seen)))

    correction = correct_coarse_to_fine(network, picture(16, 24), 3)
    assert [tuple(x.shape) for x in seen] == [(1, 6, 4, 6), (1, 6, 8, 12), (1, 6, 16, 24)]
    known = [x[:, 3:].unique().tolist() for x in seen]
    assert known == [[0.0], [1.0], [1.5]]  # nothing; the first's; its mean with the second's
    assert correction.unique().tolist() == [2.25]


def test_each_size_is_the_mean_over_squares_of_the_one_above() -> None:
    seen = []

    def network(x: Tensor) -> Tensor:
        seen.append(x[:, :3])
        return x[:, 3:]

    y = picture(16, 24)
    correct_coarse_to_fine(network, y, 2)
    assert torch.allclose(seen[0], functional.avg_pool2d(y, 2))
    assert torch.equal(seen[1], y)


@pytest.mark.parametrize(("scales", "multiple_px"), [(1, 16), (2, 32), (3, 64)])
def test_the_size_rule_doubles_with_each_scale(scales: int, multiple_px: int) -> None:
    model = build(replace(ONE, predictor_scales=scales))
    assert model.size_multiple_px == multiple_px
    y = picture(multiple_px, 2 * multiple_px)
    assert model.predict(y).shape == y.shape


def test_an_untrained_predictor_of_two_scales_returns_its_input() -> None:
    y = picture(32, 64)
    assert torch.equal(Model(TWO).predict(y), y)


def test_more_scales_cost_parameters_in_the_stem_alone() -> None:
    def sizes(config: ModelConfig) -> dict[str, torch.Size]:
        return {name: weight.shape for name, weight in Model(config).named_parameters()}

    one, two, three = (sizes(replace(ONE, predictor_scales=scales)) for scales in (1, 2, 3))
    assert {name for name in one if one[name] != two[name]} == {"predictor.stem.weight"}
    assert two == three


def test_no_input_beyond_the_receptive_radius_matters() -> None:
    model = build(TWO).double()
    side = 2 * 32 * -(-model.receptive_radius_px // 32) + 64
    x = torch.rand(1, 3, 32, side, dtype=torch.float64, requires_grad=True)
    model.predict(x)[0, :, 16, side // 2].sum().backward()
    assert x.grad is not None
    reached = (x.grad[0].abs().sum(dim=(0, 1)).nonzero().ravel() - side // 2).abs().max()
    assert 0.5 * model.receptive_radius_px < reached <= model.receptive_radius_px


def test_every_weight_learns_at_two_scales() -> None:
    model = build(TWO)
    model.predict(picture(32, 64)).square().mean().backward()
    assert model.predictor is not None
    gradients = [parameter.grad for parameter in model.predictor.parameters()]
    assert all(g is not None and g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize("scales", [0, -1, MOST_SCALES + 1])
def test_scales_out_of_range_are_refused(scales: int) -> None:
    with pytest.raises(OptionError, match=f"got {scales} scales .* 1 to {MOST_SCALES}"):
        ModelConfig(predictor_scales=scales)


@pytest.mark.parametrize("predictor", ["xydeblur", "unet-xy", "direct"])
def test_other_predictors_have_one_scale(predictor: str) -> None:
    with pytest.raises(OptionError, match=predictor):
        ModelConfig(predictor=predictor, predictor_scales=2)  # type: ignore[arg-type]
