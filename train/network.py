"""The raw networks: one U-Net class for predictor and denoiser, and the model that joins them.

Architecture after Whang et al., "Deblurring via Stochastic Refinement", CVPR 2022
(arXiv 2112.02475), section 4 and Table 4: no normalisation, no attention and no positional
encoding, so that a network trained on crops works at any size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.config import ModelConfig
from train.rotated import XY_RECEPTIVE_RADIUS_PX, XYDeblur, decode_twice
from train.scales import correct_coarse_to_fine

PICTURE_CHANNELS = 3
CHANNEL_MULTIPLIERS = (1, 2, 3, 4)
MIDDLE_BLOCKS = 2
SIZE_MULTIPLE_PX: int = 2 ** (len(CHANNEL_MULTIPLIERS) - 1)


def unet_radius_px(blocks: int) -> int:
    """How far from an output pixel of a U-Net an input pixel can still matter."""
    stem_and_head = 2
    radius = stem_and_head
    for index in range(len(CHANNEL_MULTIPLIERS)):
        inner = index + 1 < len(CHANNEL_MULTIPLIERS)
        # Blocks of encoder and decoder, the up block that ends here, the down block that starts
        # here, and on the lowest level the middle; two convolutions each.
        passed = blocks + (blocks + 1) + (1 if inner else MIDDLE_BLOCKS)
        passed += 1 if index > 0 else 0
        radius += 2 * passed * 2**index
    # Pooling windows and the grid of the lowest level shift the reach by less than one cell.
    return radius + SIZE_MULTIPLE_PX


# Without normalisation the initialisation must keep the variance of the features near one through
# 36 blocks. torch's default divides it by three at each of the 16 shortcut convolutions of the
# decoder, and the lower levels never learn. SiLU leaves 0.356 of a unit normal's second moment;
# the second convolution of a branch starts weak, so that the variance does not double per block.
_SILU_GAIN = 0.356**-0.5
_BRANCH_GAIN = 0.3

# Periods of the slowest and fastest sinusoid in log-SNR units. Training levels run from about
# -10 (pure noise) to 14 (one part in a million of noise), so the slowest never wraps.
_LONGEST_PERIOD = 64.0
_SHORTEST_PERIOD = 2.0


class LevelEmbedding(nn.Module):
    """Lift noise levels (N,) to features (N, 4 * channels).

    A level is the log-SNR ``log(abar / (1 - abar))``: it resolves both ends of the schedule,
    where ``abar`` itself saturates (Kingma et al., "Variational Diffusion Models", 2021).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        fraction = torch.linspace(0.0, 1.0, channels // 2, dtype=torch.float64)
        periods = _LONGEST_PERIOD * (_SHORTEST_PERIOD / _LONGEST_PERIOD) ** fraction
        self.register_buffer("frequencies", (2.0 * math.pi / periods).float(), persistent=False)
        self.expand = nn.Linear(channels, 4 * channels)
        self.mix = nn.Linear(4 * channels, 4 * channels)

    def forward(self, level: Tensor) -> Tensor:
        frequencies: Tensor = self.frequencies  # type: ignore[assignment]
        # Angles need float32 whatever the surrounding precision: bfloat16 has three digits.
        angles = level.float()[:, None] * frequencies.float()[None, :]
        features = torch.cat([angles.sin(), angles.cos()], dim=1)
        hidden = functional.silu(self.expand(features.to(self.expand.weight.dtype)))
        embedded: Tensor = self.mix(hidden)
        return embedded


def _initialise(convolution: nn.Conv2d, gain: float) -> None:
    """Normal weights of variance gain^2 / fan-in (He et al. 2015, equation 10), no bias."""
    fan_in = convolution.weight[0].numel()
    nn.init.normal_(convolution.weight, std=gain * fan_in**-0.5)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)


class ResidualBlock(nn.Module):
    """SiLU, 3x3 convolution, (+ level), SiLU, 3x3 convolution, plus a shortcut.

    ``resample`` is "same", "down" (average pool by 2 first) or "up" (nearest by 2 first); it acts
    on the branch and on the shortcut alike. The shortcut is a 1x1 convolution only where the
    width changes.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        level_features: int | None,
        resample: str = "same",
    ) -> None:
        super().__init__()
        self.resample = resample
        self.first = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.level = None if level_features is None else nn.Linear(level_features, out_channels)
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1)
        )
        _initialise(self.first, _SILU_GAIN)
        _initialise(self.second, _SILU_GAIN * _BRANCH_GAIN)
        if isinstance(self.shortcut, nn.Conv2d):
            _initialise(self.shortcut, 1.0)

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        hidden = self.first(self._resampled(functional.silu(x)))
        if self.level is not None:
            assert level is not None
            hidden = hidden + self.level(level)[:, :, None, None]
        hidden = self.second(functional.silu(hidden))
        shortcut: Tensor = self.shortcut(self._resampled(x))
        return shortcut + hidden

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == "down":
            return functional.avg_pool2d(x, 2)
        if self.resample == "up":
            return functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return x


class UNet(nn.Module):
    """The paper's U-Net, for any height and width that are multiples of 8.

    Takes ``x`` of shape (N, in_channels, H, W) and, if ``conditional``, ``level`` of shape (N,)
    or (1,) in log-SNR; returns (N, out_channels, H, W) in the dtype of ``x``. The head starts at
    zero, so that an untrained network adds nothing to what surrounds it.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        conditional: bool = False,
        *,
        out_channels: int = PICTURE_CHANNELS,
        blocks: int = 3,
    ) -> None:
        super().__init__()
        widths = [channels * multiplier for multiplier in CHANNEL_MULTIPLIERS]
        features = 4 * channels if conditional else None
        self.in_channels, self.blocks = in_channels, blocks
        self.embedding = LevelEmbedding(channels) if conditional else None
        self.stem = nn.Conv2d(in_channels, channels, 3, padding=1)
        _initialise(self.stem, 1.0)

        self.encoder = nn.ModuleList()
        skips = [channels]
        width = channels
        for index, level_width in enumerate(widths):
            for _ in range(blocks):
                self.encoder.append(ResidualBlock(width, level_width, features))
                width = level_width
                skips.append(width)
            if index + 1 < len(widths):
                self.encoder.append(ResidualBlock(width, width, features, "down"))
                skips.append(width)

        self.middle = nn.ModuleList(
            ResidualBlock(width, width, features) for _ in range(MIDDLE_BLOCKS)
        )

        self.decoder = nn.ModuleList()
        for index, level_width in reversed(list(enumerate(widths))):
            stage = nn.ModuleList()
            for _ in range(blocks + 1):
                stage.append(ResidualBlock(width + skips.pop(), level_width, features))
                width = level_width
            if index > 0:
                stage.append(ResidualBlock(width, width, features, "up"))
            self.decoder.append(stage)

        self.head = nn.Conv2d(width, out_channels, 3, padding=1)
        _initialise(self.head, 0.0)

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Return (N, out_channels, H, W); raises ValueError for a missing or unwanted ``level``."""
        if (level is None) != (self.embedding is None):
            wanted = "no level" if self.embedding is None else "a level of shape (N,)"
            raise ValueError(
                f"got {'no level' if level is None else 'a level'}; this U-Net takes {wanted}"
            )
        features = None if self.embedding is None else self.embedding(level)
        return self.decode(self.encode(x, features), features)

    def encode(self, x: Tensor, features: Tensor | None) -> list[Tensor]:
        """The 16 features that the decoder concatenates, in order, and the middle's output."""
        x = self.stem(x)
        skips = [x]
        for block in self.encoder:
            x = block(x, features)
            skips.append(x)
        for block in self.middle:
            x = block(x, features)
        return [*skips, x]

    def decode(self, encoded: list[Tensor], features: Tensor | None = None) -> Tensor:
        """From what :meth:`encode` returns, which is consumed, to (N, out_channels, H, W)."""
        x = encoded.pop()
        for stage in self.decoder:
            parts: list[nn.Module] = list(stage)  # type: ignore[call-overload]
            for index, block in enumerate(parts):
                if index <= self.blocks:
                    x = torch.cat([x, encoded.pop()], dim=1)
                x = block(x, features)
        output: Tensor = self.head(functional.silu(x))
        return output


class UNetXY(UNet):
    """The paper's U-Net as XYDeblur runs its own: the same parameters, the decoder run twice.

    Takes and returns (N, in_channels, H, W). Encoder and middle run once.
    """

    def __init__(
        self, in_channels: int, channels: int, *, unshuffle: int = 1, blocks: int = 3
    ) -> None:
        super().__init__(in_channels, channels, out_channels=in_channels, blocks=blocks)
        self._unshuffle = unshuffle

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        if level is not None:
            raise ValueError("got a level; this U-Net takes no level")
        return decode_twice(self.encode(x, None), self.decode, self._unshuffle)


def _build_predictor(config: ModelConfig) -> nn.Module | None:
    folded = PICTURE_CHANNELS * config.unshuffle**2
    if config.predictor == "direct":
        return None
    if config.predictor == "xydeblur":
        return XYDeblur(folded, config.predictor_channels, unshuffle=config.unshuffle)
    if config.predictor == "unet-xy":
        return UNetXY(
            folded, config.predictor_channels, unshuffle=config.unshuffle, blocks=config.blocks
        )
    known = 1 if config.predictor_scales == 1 else 2
    return UNet(
        known * folded, config.predictor_channels, out_channels=folded, blocks=config.blocks
    )


def size_multiple_px(config: ModelConfig) -> int:
    """What height and width of a picture must be multiples of, for networks of ``config``."""
    return SIZE_MULTIPLE_PX * config.unshuffle * 2 ** (config.predictor_scales - 1)


class Model(nn.Module):
    """Predictor g and denoiser f of one preset.

    Pictures are float NCHW in [-1, 1]; H and W are multiples of ``size_multiple_px``. With
    ``config.unshuffle`` above 1 both networks work on pixels folded into channels (Shi et al.,
    "Real-Time Single Image and Video Super-Resolution", 2016): nearly the same parameters, and the
    work and memory of a picture that much smaller on each side. With ``config.predictor_scales``
    above 1 the predictor looks at the picture at several sizes (:mod:`train.scales`). Without
    predictor (``direct``) it is None, g(y) is 0, and the residual that f learns is the sharp
    picture itself.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        folded = PICTURE_CHANNELS * config.unshuffle**2
        self.predictor = _build_predictor(config)
        self.denoiser = UNet(
            2 * folded,
            config.denoiser_channels,
            conditional=True,
            out_channels=folded,
            blocks=config.blocks,
        )

    @property
    def size_multiple_px(self) -> int:
        """Height and width must be multiples of this."""
        return size_multiple_px(self.config)

    @property
    def receptive_radius_px(self) -> int:
        """How far from an output pixel an input pixel can still matter."""
        radius = unet_radius_px(self.config.blocks)
        if self.config.predictor == "xydeblur":
            radius = max(radius, XY_RECEPTIVE_RADIUS_PX)
        # A pixel of the k-th size is 2^k pixels wide; each size sees what the one below found.
        return radius * self.config.unshuffle * (2**self.config.predictor_scales - 1)

    def predict(self, y: Tensor) -> Tensor:
        """First guess g(y) of the sharp picture, (N, 3, H, W) from (N, 3, H, W).

        The network computes the correction to the blurred picture: an untrained predictor then
        returns its input, and a deblurring network needs to learn only what blur took away.
        """
        if self.predictor is None:
            # Not torch.zeros_like: an exported graph must use its input.
            return 0.0 * y
        if self.config.predictor_scales > 1:
            return y + correct_coarse_to_fine(self._correct, y, self.config.predictor_scales)
        return y + self._correct(y)

    def _correct(self, x: Tensor) -> Tensor:
        assert self.predictor is not None
        return self._unfold(self.predictor(self._fold(x)))

    def denoise(self, y: Tensor, z: Tensor, level: Tensor) -> Tensor:
        """What f predicts about the noised residual ``z`` given ``y``: noise, residual or v.

        ``y`` and ``z`` are (N, 3, H, W); ``level`` is (N,) or (1,) in log-SNR. Which of the three
        quantities comes back is ``config.prediction``.
        """
        return self._unfold(self.denoiser(self._fold(torch.cat([y, z], dim=1)), level))

    def _fold(self, x: Tensor) -> Tensor:
        return (
            x
            if self.config.unshuffle == 1
            else functional.pixel_unshuffle(x, self.config.unshuffle)
        )

    def _unfold(self, x: Tensor) -> Tensor:
        return (
            x if self.config.unshuffle == 1 else functional.pixel_shuffle(x, self.config.unshuffle)
        )
