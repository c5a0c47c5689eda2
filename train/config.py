"""Frozen configurations of model, data and training, and the named presets and recipes.

A configuration is printed at the start, saved with what it made, and never changed in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from runtime.errors import OptionError
from runtime.samplers import Prediction

Predictor = Literal["unet", "xydeblur", "unet-xy", "direct"]
Levels = Literal["wavegrad", "mixed"]

# The last is an eighth of the picture's size: width and height are multiples of 64 px then.
MOST_SCALES = 4


@dataclass(frozen=True)
class ModelConfig:
    """Widths and depth of the two networks, and what the denoiser predicts.

    ``prediction`` is "eps" (the noise; the paper), "x0" (the residual), "v" (Salimans and Ho,
    "Progressive Distillation", 2022, section 4) or "edm" (what is left once the residual's size is
    taken into account; :mod:`runtime.samplers`). ``unshuffle`` folds that many pixels of each side
    into channels before the networks. ``predictor`` "unet" is the paper's; "xydeblur" that of Ji et
    al., CVPR 2022; "unet-xy" the paper's decoded twice like XYDeblur; "direct" is none: the
    denoiser then models the sharp picture itself. ``predictor_scales`` is at how many sizes, each
    half the one before, a "unet" looks at the picture. ``blocks`` is how many residual blocks each
    level of a U-Net's encoder has (the paper: 3); its decoder's have one more.
    """

    predictor_channels: int = 64
    denoiser_channels: int = 32
    prediction: Prediction = "x0"
    unshuffle: int = 1
    predictor: Predictor = "unet"
    predictor_scales: int = 1
    blocks: int = 3

    def __post_init__(self) -> None:
        """Raise OptionError for scales that this predictor cannot have, and for no blocks."""
        if self.blocks < 1:
            raise OptionError(f"got {self.blocks} blocks on each level; wanted is at least 1")
        if not 1 <= self.predictor_scales <= (MOST_SCALES if self.predictor == "unet" else 1):
            raise OptionError(
                f"got {self.predictor_scales} scales for predictor '{self.predictor}'; wanted is 1 "
                f"to {MOST_SCALES} for 'unet', and 1 for any other"
            )


@dataclass(frozen=True)
class BlurConfig:
    """Synthetic blur: how far the camera shakes, in which light, and how noisy the sensor is.

    ``longest_px`` bounds the extent of the shake path, ``restlessness_max`` how far it turns from
    one moment to the next (0 is a straight line), ``jerk_probability_max`` how likely it turns
    back; ``identity_fraction`` of the samples stay unblurred and clean, so that a sharp picture is
    left as it is. Noise is in grey levels of 255.

    ``drift_fraction`` of the shakes are drifts, of a speed that varies. ``video_fraction`` of the
    samples are blurred as data sets of video are, by averaging frames (see train.data.blur).

    The rest is off unless its ``..._fraction``, the share of the blurred samples that get it, is
    above 0: camera roll about the picture's middle, of an extent up to ``longest_rotation_deg``
    (blur then varies over the picture); defocus by a disc of up to ``defocus_radius_px``;
    highlights (grey level ``highlight_from`` and up) made up to ``highlight_gain_max`` times as
    bright; JPEG of quality ``jpeg_quality_min`` to ``jpeg_quality_max``.
    """

    longest_px: float = 20.0
    identity_fraction: float = 0.08
    display_light_fraction: float = 0.3
    read_noise_max: float = 1.5
    shot_noise_max: float = 1.0
    rotation_fraction: float = 0.0
    longest_rotation_deg: float = 0.0
    defocus_fraction: float = 0.0
    defocus_radius_px: float = 0.0
    highlight_fraction: float = 0.0
    highlight_gain_max: float = 1.0
    jpeg_fraction: float = 0.0
    jpeg_quality_min: int = 60
    jpeg_quality_max: int = 95
    highlight_from: int = 250
    restlessness_max: float = 0.3
    jerk_probability_max: float = 0.06
    drift_fraction: float = 0.0
    video_fraction: float = 0.0

    def __post_init__(self) -> None:
        """Raise OptionError for an effect that is switched on without a strength."""
        effects = (
            ("rotation_fraction", "longest_rotation_deg", 0.0),
            ("defocus_fraction", "defocus_radius_px", 0.5),
            ("highlight_fraction", "highlight_gain_max", 1.0),
        )
        for fraction, strength, least in effects:
            if getattr(self, fraction) > 0 and not getattr(self, strength) > least:
                raise OptionError(
                    f"got {fraction} {getattr(self, fraction)} with {strength} "
                    f"{getattr(self, strength)}; {strength} must be above {least}"
                )
        lowest, highest = self.jpeg_quality_min, self.jpeg_quality_max
        if not 1 <= lowest <= highest <= 100:
            raise OptionError(f"got JPEG quality {lowest} to {highest}; wanted is 1 to 100, rising")


@dataclass(frozen=True)
class DataConfig:
    """What is cut from the pictures: square crops with flips and quarter turns.

    Of the crops that are blurred on the fly, ``zoom_fraction`` are enlarged by up to ``zoom_max``
    before, and all that are blurred like video: its frames are softer than photographs scaled down
    until they are sharp. Of ``places`` drawn in a picture, that with most detail is taken: sky and
    walls show no blur to learn from.
    """

    crop_px: int = 96
    blur: BlurConfig = field(default_factory=BlurConfig)
    zoom_fraction: float = 0.0
    zoom_max: float = 2.0
    places: int = 1

    def __post_init__(self) -> None:
        """Raise OptionError for values out of their range."""
        if not 0.0 <= self.zoom_fraction <= 1.0 or not 1.0 <= self.zoom_max <= 4.0:
            raise OptionError(
                f"got zoom_fraction {self.zoom_fraction}, zoom_max {self.zoom_max}; wanted are "
                "0 to 1 and 1 to 4"
            )
        if self.places < 1:
            raise OptionError(f"got {self.places} places for a crop; wanted is at least 1")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the two terms: ``denoise`` on what f predicts, ``pixel`` (L2) on g(y).

    The paper trains with denoise 1, L1, and pixel 0. With denoise 0 only the predictor is trained.
    ``denoise_norm`` "l2" makes f predict a mean, which is what averaging samples estimates.
    ``predictor_frozen`` keeps g as it is: f then learns the residual that g leaves. ``levels`` is
    how noise levels are drawn for f: "wavegrad" as in the paper, nearly all of them noisier than
    the residual; "mixed" a quarter of them so and the rest about the residual's size.
    """

    denoise: float = 1.0
    pixel: float = 1.0
    denoise_norm: Literal["l1", "l2"] = "l2"
    predictor_frozen: bool = False
    levels: Levels = "wavegrad"


@dataclass(frozen=True)
class DistillConfig:
    """What a student of few steps learns from a teacher that takes twice as many.

    ``steps`` are DDIM's, on levels evenly spaced in log-SNR from ``noisiest`` on; the last one goes
    to the clean residual, and the next level would be ``cleanest``. So the levels of N steps are
    every other one of those of 2 N. ``start`` is that of SamplerConfig. On the share ``keep`` of
    each batch the denoiser goes on with what it was trained for, at all levels, so that the other
    samplers of a bundle stay what they were.
    """

    steps: int = 2
    noisiest: float = 3.0
    cleanest: float = 11.0
    start: Literal["noise", "guess"] = "guess"
    keep: float = 0.25

    def __post_init__(self) -> None:
        """Raise OptionError for a value out of its range."""
        if self.steps < 1 or not self.noisiest < self.cleanest or not 0.0 <= self.keep < 1.0:
            raise OptionError(
                f"got {self.steps} steps from level {self.noisiest} to {self.cleanest}, keep "
                f"{self.keep}; wanted are at least 1 step, rising levels, and 0 <= keep < 1"
            )


@dataclass(frozen=True)
class TrainConfig:
    """One training run, whole: a checkpoint carries this in its metadata.

    With ``minutes`` the learning rate falls with the time spent, and the run ends when they are
    used up, all its parts together; ``steps`` is then no more than a limit. ``distill`` is set
    where the denoiser learns from a teacher. With ``denoiser_from_predictor`` it begins as a copy
    of the predictor in the starting weights.
    """

    model: ModelConfig = field(default_factory=lambda: PRESETS["tiny"])
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    steps: int = 20_000
    batch: int = 8
    learning_rate: float = 1.5e-3
    warmup_steps: int = 200
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    bfloat16: bool = True
    seed: int = 0
    minutes: float | None = None
    distill: DistillConfig | None = None
    denoiser_from_predictor: bool = False

    def __post_init__(self) -> None:
        """Raise OptionError for a time that is none."""
        if self.minutes is not None and not self.minutes > 0:
            raise OptionError(f"got {self.minutes} minutes; wanted are more than 0")


BLURS: dict[str, BlurConfig] = {
    "shake": BlurConfig(),
    # For photographs as people take them: the camera rolls, misses focus, and saves a JPEG.
    "camera": BlurConfig(
        rotation_fraction=0.5,
        longest_rotation_deg=1.5,
        defocus_fraction=0.2,
        defocus_radius_px=2.5,
        highlight_fraction=0.5,
        highlight_gain_max=6.0,
        jpeg_fraction=0.3,
    ),
    # For photographs and for video, whose blur differs in light, centre and noise.
    "mixed": BlurConfig(
        longest_px=26.0,
        drift_fraction=0.5,
        video_fraction=0.5,
        rotation_fraction=0.2,
        longest_rotation_deg=0.6,
    ),
}


@dataclass(frozen=True)
class Execution:
    """How a run is carried out: it changes speed and what is reported, not what is learned.

    A step's batch is shared among ``devices`` processes and there cut into ``accumulate`` parts.
    ``compile`` runs both networks through torch.compile. ``workers`` processes read pictures for
    each device. Validation, where pictures for it are given, takes ``validation_crops`` crops every
    ``validate_every`` steps. With ``save_minutes`` a run is saved and validated by the clock
    instead.
    """

    devices: int = 1
    accelerator: str = "auto"
    accumulate: int = 1
    compile: bool = False
    workers: int = 1
    tensorboard: bool = False
    validate_every: int = 1000
    validation_crops: int = 16
    validation_crop_px: int = 128
    save_minutes: float | None = None


PRESETS: dict[str, ModelConfig] = {
    # Folded pixels: on two CPU cores a quarter of the work, and more gained per minute of training.
    # Two scales: a quarter more work for the predictor, and more gained than by hours of training.
    "tiny": ModelConfig(
        predictor_channels=16, denoiser_channels=16, unshuffle=2, predictor_scales=2
    ),
    "edge": ModelConfig(
        predictor_channels=32, denoiser_channels=16, unshuffle=2, predictor_scales=2
    ),
    "paper": ModelConfig(predictor_channels=64, denoiser_channels=32),
    "xydeblur": ModelConfig(predictor_channels=32, denoiser_channels=32, predictor="xydeblur"),
    # The conditional diffusion model of 27.68 M that the paper compares its 33 M with.
    "direct": ModelConfig(predictor_channels=0, denoiser_channels=64, predictor="direct"),
    # The paper's Table 4: the width of the predictor alone.
    "table4-16": ModelConfig(predictor_channels=16, denoiser_channels=32),
    "table4-32": ModelConfig(predictor_channels=32, denoiser_channels=32),
    "table4-64": ModelConfig(predictor_channels=64, denoiser_channels=32),
}

RECIPES: dict[str, LossConfig] = {
    "paper": LossConfig(denoise=1.0, pixel=0.0, denoise_norm="l1"),
    "predictor": LossConfig(denoise=0.0, pixel=1.0),
    "joint+pixel": LossConfig(denoise=1.0, pixel=1.0),
    "denoiser": LossConfig(denoise=1.0, pixel=0.0, predictor_frozen=True),
}
