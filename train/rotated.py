"""XYDeblur, a predictor that decodes twice, the second time on turned features.

Ji et al., "XYDeblur: Divide and Conquer for Single Image Deblurring", CVPR 2022: one encoder, and
one decoder whose weights serve twice, on the features and on the features turned by 90 degrees.
The two passes share the work between them as horizontal and vertical blur would ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_SCALES = 3
_BLOCKS = 6
_RELU_GAIN = 2.0**0.5
_BRANCH_GAIN = 0.3

Decode = Callable[[list[Tensor]], Tensor]


def decode_twice(features: Sequence[Tensor], decode: Decode, unshuffle: int) -> Tensor:
    """Sum of what ``decode`` makes of the features and, turned back, of the turned features.

    ``features`` are (N, C, H, W) of any widths and scales; ``decode`` consumes a list of them and
    returns (N, 3 * unshuffle^2, H, W): pixels folded into channels must be unfolded to be turned.
    """
    straight = decode(list(features))
    turned = decode([torch.rot90(feature, 1, (2, 3)) for feature in features])
    if unshuffle == 1:
        return straight + torch.rot90(turned, -1, (2, 3))
    unfolded = torch.rot90(functional.pixel_shuffle(turned, unshuffle), -1, (2, 3))
    return straight + functional.pixel_unshuffle(unfolded, unshuffle)


class PlainBlock(nn.Module):
    """3x3 convolution, ReLU, 3x3 convolution, plus the input; (N, channels, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        _initialise(self.first, _RELU_GAIN)
        _initialise(self.second, _RELU_GAIN * _BRANCH_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.second(functional.relu(self.first(x)))
        return x + hidden


class XYDeblur(nn.Module):
    """The network of the XYDeblur paper; with ``channels`` 32 the published one, 4.919 M.

    Takes (N, in_channels, H, W), H and W multiples of 4, and returns the correction r1 + r2 of that
    shape. The head starts at zero: untrained, it corrects nothing.
    """

    def __init__(self, in_channels: int, channels: int, *, unshuffle: int = 1) -> None:
        super().__init__()
        self._unshuffle = unshuffle
        widths = [channels * 2**scale for scale in range(_SCALES)]
        self.stem = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.downs = nn.ModuleList(
            nn.Conv2d(wide, wider, 3, stride=2, padding=1) for wide, wider in pairwise(widths)
        )
        self.encoder = nn.ModuleList(_stage(width) for width in widths)
        # From the coarsest scale to the finest, in the order in which they run.
        self.decoder = nn.ModuleList(_stage(width) for width in reversed(widths))
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)
            for width in reversed(widths[:-1])
        )
        self.fusions = nn.ModuleList(
            nn.Conv2d(2 * width, width, 1) for width in reversed(widths[:-1])
        )
        self.head = nn.Conv2d(channels, in_channels, 3, padding=1)
        for outer in (self.stem, *self.downs, *self.ups):
            _initialise(outer, _RELU_GAIN)
        for fusion in self.fusions:
            _initialise(fusion, 1.0)
        _initialise(self.head, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        return decode_twice(self.encode(x), self.decode, self._unshuffle)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of each scale, finest first."""
        features = [self.encoder[0](functional.relu(self.stem(x)))]
        for down, stage in zip(self.downs, self.encoder[1:], strict=True):
            features.append(stage(functional.relu(down(features[-1]))))
        return features

    def decode(self, features: list[Tensor]) -> Tensor:
        """One pass over the features, consumed coarsest first, to a correction."""
        x = self.decoder[0](features.pop())
        for up, fusion, stage in zip(self.ups, self.fusions, self.decoder[1:], strict=True):
            x = fusion(torch.cat([functional.relu(up(x)), features.pop()], dim=1))
            x = stage(x)
        output: Tensor = self.head(x)
        return output


def _stage(channels: int) -> nn.Sequential:
    return nn.Sequential(*(PlainBlock(channels) for _ in range(_BLOCKS)))


def _initialise(layer: nn.Module, gain: float) -> None:
    """Normal weights of variance gain^2 / fan-in (He et al. 2015, equation 10), no bias."""
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    fan_in = layer.weight[0].numel()
    if isinstance(layer, nn.ConvTranspose2d):
        # Stored (in, out, kernel, kernel); each output pixel hears one tap of stride^2.
        fan_in = layer.in_channels * layer.weight[0, 0].numel() // layer.stride[0] ** 2
    nn.init.normal_(layer.weight, std=gain * fan_in**-0.5)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)


def _plain_radius_px() -> int:
    """How far from an output pixel of :class:`XYDeblur` an input pixel can still matter."""
    stem_and_head = 2
    radius = stem_and_head
    for scale in range(_SCALES):
        # Encoder and decoder stage, two convolutions each block.
        radius += 2 * 2 * _BLOCKS * 2**scale
        # The strided convolution that leads down to this scale and the transposed one back up.
        radius += 2 * 2**scale if scale > 0 else 0
    return radius + 2**_SCALES


XY_RECEPTIVE_RADIUS_PX = _plain_radius_px()
