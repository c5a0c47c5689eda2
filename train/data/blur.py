"""Synthetic blur: camera motion, defocus, clipped highlights, sensor noise, JPEG.

A photograph's light is averaged as a sensor does it, linearly, and blur is centred on the sharp
picture. Video blur, as data sets make it (Nah et al., "Deep Multi-scale Convolutional Neural
Network for Dynamic Scene Deblurring", 2017), is the mean of frames, mostly of their grey levels,
and the sharp picture is the frame in the middle of the exposure; a stroke falls into one dot for
each frame where the shutter was open for a small part of the time between them. Everything here is
a function of the generator handed in.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from train.config import BlurConfig
from train.data.chance import happens
from train.data.paths import (
    WHOLE,
    Path,
    Spans,
    camera_path,
    frame_spans,
    moments,
    positions_at,
    roll_path,
)

Array = NDArray[np.float32]
Image = NDArray[np.uint8]

_MOST_WARPS = 64

# Which share of video blur is averaged as displayed, and what averaging frames leaves of the noise.
_VIDEO_DISPLAY_LIGHT_FRACTION = 0.8
_VIDEO_NOISE = 0.35


def _srgb_to_linear_table() -> Array:
    encoded = np.arange(256, dtype=np.float64) / 255.0
    low, high = encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4
    return np.where(encoded <= 0.04045, low, high).astype(np.float32)


_LINEAR = _srgb_to_linear_table()
_DISPLAY = (np.arange(256, dtype=np.float64) / 255.0).astype(np.float32)


def _linear_to_srgb(linear: Array) -> Array:
    linear = np.clip(linear, 0.0, 1.0)
    high = 1.055 * np.power(linear, np.float32(1.0 / 2.4)) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, high).astype(np.float32)


def motion_kernel(path: Path, spans: Spans = WHOLE) -> Array:
    """Kernel (k, k) of odd side with sum 1 that averages along ``path`` (n, 2), bilinearly.

    Light falls during ``spans`` (m, 2) of the path, as long in each (train.data.paths).
    """
    reach = int(np.ceil(np.abs(path).max())) + 1
    side = 2 * reach + 1
    kernel = np.zeros((side, side))
    # While the shutter is open the camera keeps moving: fill the path to quarter pixels.
    travelled = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    counts = (4 * travelled * (spans[:, 1] - spans[:, 0])).astype(np.int64) + 2
    points = positions_at(path, moments(spans, counts))
    share = np.repeat(1.0 / counts, counts)
    corner = np.floor(points).astype(int)
    fraction = points - corner
    for dx in (0, 1):
        for dy in (0, 1):
            weight = np.abs(1 - dx - fraction[:, 0]) * np.abs(1 - dy - fraction[:, 1])
            place = (corner[:, 1] + dy + reach, corner[:, 0] + dx + reach)
            np.add.at(kernel, place, share * weight)
    return (kernel / kernel.sum()).astype(np.float32)


def reach_px(config: BlurConfig, height_px: int, width_px: int) -> int:
    """How far from a pixel of a picture of that size blur can fetch light, in whole pixels."""
    half_diagonal_px = 0.5 * float(np.hypot(height_px, width_px))
    rotation_px = np.radians(config.longest_rotation_deg) * half_diagonal_px
    return int(np.ceil(config.longest_px + rotation_px + config.defocus_radius_px))


def blur_sample(
    sharp: Image,
    rng: np.random.Generator,
    config: BlurConfig,
    *,
    axis_px: tuple[float, float] | None = None,
    like_video: bool = False,
) -> Image:
    """Blurred, noisy twin of ``sharp`` (H, W, 3) uint8 RGB, of the same shape.

    ``axis_px`` is where the optical axis, about which the camera rolls, meets the picture, as
    (x, y) from the top left pixel; a crop's lies outside it. None is the middle. ``like_video``
    makes it the mean of video frames, of which ``sharp`` is the middle one.
    """
    if rng.random() < config.identity_fraction:
        return sharp
    extent_px = rng.uniform(0.5, config.longest_px)
    path = camera_path(rng, extent_px, config, like_video=like_video)
    spans = frame_spans(rng) if like_video else WHOLE
    # Some cameras and data sets average frames as displayed, most sensors average light.
    in_display_light = rng.random() < (
        _VIDEO_DISPLAY_LIGHT_FRACTION if like_video else config.display_light_fraction
    )
    light = (_DISPLAY if in_display_light else _LINEAR)[sharp]
    if happens(rng, config.highlight_fraction):
        gain = rng.uniform(1.0, config.highlight_gain_max)
        light = brighten_highlights(light, sharp, gain, clipped_from=config.highlight_from)
    if happens(rng, config.rotation_fraction):
        extent_deg = rng.uniform(0.0, config.longest_rotation_deg)
        roll = np.radians(roll_path(rng, extent_deg, len(path), like_video=like_video))
        middle = (0.5 * (sharp.shape[1] - 1), 0.5 * (sharp.shape[0] - 1))
        axis_px = middle if axis_px is None else axis_px
        averaged = average_warps(light, path, roll, axis_px, spans)
    else:
        averaged = _filter(light, motion_kernel(path, spans))
    if happens(rng, config.defocus_fraction):
        averaged = _filter(averaged, disc_kernel(rng.uniform(0.5, config.defocus_radius_px)))
    seen = averaged if in_display_light else _linear_to_srgb(averaged)
    return _record(seen, rng, config, noise=_VIDEO_NOISE if like_video else 1.0)


def average_frames(frames: Sequence[Image], rng: np.random.Generator, config: BlurConfig) -> Image:
    """Blurred, noisy twin of the middle one of consecutive ``frames``, an odd number of (H, W, 3).

    The mean of their light is what one long exposure would have seen (Nah et al., CVPR 2017). Of
    ``config`` only the share of unblurred samples, sensor noise and JPEG have an effect.
    """
    if rng.random() < config.identity_fraction:
        return frames[len(frames) // 2]
    light = np.stack([_LINEAR[frame] for frame in frames])
    mean = np.asarray(light.mean(axis=0), np.float32)
    return _record(_linear_to_srgb(mean), rng, config)


def _record(
    blurred: Array, rng: np.random.Generator, config: BlurConfig, *, noise: float = 1.0
) -> Image:
    """What a camera saves of a picture (H, W, 3) in [0, 1]: with sensor noise, perhaps as JPEG.

    The noise is ``noise`` times as strong as a single exposure's.
    """
    noisy = _with_sensor_noise(blurred, rng, config, noise)
    if happens(rng, config.jpeg_fraction):
        noisy = compress(
            noisy, int(rng.integers(config.jpeg_quality_min, config.jpeg_quality_max + 1))
        )
    return noisy


def _filter(light: Array, kernel: Array) -> Array:
    filtered = cv2.filter2D(light, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(filtered, np.float32)


def brighten_highlights(
    light: Array, sharp: Image, gain: float, *, clipped_from: int = 250
) -> Array:
    """``light`` (H, W, 3) with clipped pixels of ``sharp`` made ``gain`` times as bright.

    Clipped is a pixel of which no channel is below ``clipped_from``.

    A sensor's white hides how bright a lamp is; blurred, it draws a white streak rather than a
    grey one (Whyte et al., "Deblurring Shaken and Partially Saturated Images", 2014).
    """
    clipped = sharp.min(axis=2) >= clipped_from
    brighter = light.copy()
    brighter[clipped] *= np.float32(gain)
    return brighter


def average_warps(
    light: Array,
    path: Path,
    roll: Path,
    axis_px: tuple[float, float],
    spans: Spans = WHOLE,
) -> Array:
    """Mean of ``light`` (H, W, 3) over the camera's poses: shifts (n, 2) in px, rolls (n,) in rad.

    Rotation about ``axis_px`` makes blur grow with the distance from it. Light falls during
    ``spans`` (m, 2) of the path, as long in each (train.data.paths).
    """
    height, width = light.shape[:2]
    farthest = max(
        np.hypot(axis_px[0] - x, axis_px[1] - y) for x in (0, width) for y in (0, height)
    )
    speed = np.linalg.norm(np.diff(path, axis=0), axis=1) + np.abs(np.diff(roll)) * farthest
    # Bilinear warps closer than a pixel apart leave no separate ghosts.
    open_px = speed.sum() * (spans[0, 1] - spans[0, 0])
    count = int(np.clip(np.ceil(open_px), 1, _MOST_WARPS // len(spans)))
    times = moments(spans, np.full(len(spans), count))
    total = np.zeros_like(light)
    for x, y, angle in positions_at(np.column_stack([path, roll]), times):
        pose = cv2.getRotationMatrix2D(axis_px, float(np.degrees(angle)), 1.0)
        pose[:, 2] += (x, y)
        total += cv2.warpAffine(
            light, pose, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
    return total / np.float32(len(times))


def disc_kernel(radius_px: float) -> Array:
    """The out-of-focus image of a point: a disc with a soft rim, (k, k) of odd side, sum 1."""
    reach = int(np.ceil(radius_px))
    offsets = np.arange(-reach, reach + 1)
    distance = np.hypot(*np.meshgrid(offsets, offsets))
    kernel = np.clip(radius_px + 0.5 - distance, 0.0, 1.0)
    return (kernel / kernel.sum()).astype(np.float32)


def compress(image: Image, quality: int) -> Image:
    """``image`` (H, W, 3) after a round trip through JPEG of that quality, 1 to 100."""
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, "a uint8 RGB picture can always be written as JPEG"
    coded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(coded[:, :, ::-1])


def _with_sensor_noise(
    blurred: Array, rng: np.random.Generator, config: BlurConfig, strength: float
) -> Image:
    """Quantise (H, W, 3) in [0, 1] to uint8 after Poisson-like and Gaussian noise."""
    read = strength * rng.uniform(0.0, config.read_noise_max)
    shot = strength * rng.uniform(0.0, config.shot_noise_max)
    sigma = np.sqrt(read**2 + shot**2 * np.clip(blurred, 0.0, 1.0))
    noisy = blurred * 255.0 + sigma * rng.standard_normal(blurred.shape, dtype=np.float32)
    return np.clip(np.rint(noisy), 0.0, 255.0).astype(np.uint8)
