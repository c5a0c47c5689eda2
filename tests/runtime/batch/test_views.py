from __future__ import annotations

import numpy as np
import pytest

from runtime.batch.views import STD_SCALES, heat_map, side_by_side


def test_before_and_after_stand_beside_each_other() -> None:
    before, after = np.zeros((4, 1000, 3), np.uint8), np.full((4, 1000, 3), 9, np.uint8)
    both = side_by_side(before, after)
    assert both.shape == (4, 2005, 3)
    assert np.array_equal(both[:, :1000], before)
    assert np.array_equal(both[:, 1005:], after)
    assert (both[:, 1000:1005] == 255).all()


@pytest.mark.parametrize(
    ("highest", "scale"), [(0.0, 0.5), (0.5, 0.5), (0.6, 1.0), (7.0, 10.0), (127.5, 127.5)]
)
def test_the_scale_is_the_first_round_one_that_holds_the_spread(
    highest: float, scale: float
) -> None:
    assert heat_map(np.full((2, 2, 3), highest, np.float32))[1] == scale


def test_a_few_pixels_do_not_stretch_the_scale() -> None:
    std = np.ones((20, 20, 3), np.float32)
    std[0, 0] = 90.0
    colours, scale = heat_map(std)
    assert scale == 1.0
    assert np.array_equal(colours[0, 0], colours[1, 1])


def test_more_spread_is_brighter() -> None:
    std = np.linspace(0.0, STD_SCALES[2], 256, dtype=np.float32)[None, :, None].repeat(3, axis=2)
    colours, _ = heat_map(std)
    # What the eye takes for brightness (ITU-R BT.709) rises all along a uniform map.
    brightness = colours[0].astype(float) @ [0.2126, 0.7152, 0.0722]
    assert brightness[0] < 1.0
    assert brightness[-1] > 240.0
    assert (np.diff(brightness) > -1.0).all()


def test_a_pixels_spread_is_that_of_its_three_channels_together() -> None:
    one_channel = np.zeros((1, 1, 3), np.float32)
    one_channel[0, 0, 1] = np.sqrt(3.0)
    assert np.array_equal(heat_map(one_channel)[0], heat_map(np.ones((1, 1, 3), np.float32))[0])
