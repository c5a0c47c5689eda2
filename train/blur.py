"""Synthetic camera shake: blur a sharp picture along a random path, in linear light.

The path is a random walk with inertia, after Boracchi and Foi, "Modeling the Performance of Image
Restoration from Motion Blur", 2012. Everything here is a function of the generator handed in.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from train.config import BlurConfig

Array = NDArray[np.float32]
Image = NDArray[np.uint8]

_PATH_POINTS = 96


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


def shake_path(rng: np.random.Generator, extent_px: float) -> NDArray[np.float64]:
    """Positions (n, 2) of a shaking camera, in pixels (x, y), centred on their mean.

    The longer side of the path's bounding box is ``extent_px``.
    """
    restlessness = rng.uniform(0.0, 0.5)
    jerk_probability = rng.uniform(0.0, 0.06)
    direction = rng.normal(size=2)
    velocity = direction / np.linalg.norm(direction)
    kicks = rng.normal(size=(_PATH_POINTS, 2)) * restlessness
    jerks = rng.random(_PATH_POINTS) < jerk_probability
    position = np.zeros(2)
    path = np.empty((_PATH_POINTS, 2))
    for index in range(_PATH_POINTS):
        path[index] = position
        velocity = velocity + kicks[index] - 0.02 * position / (1.0 + np.linalg.norm(position))
        if jerks[index]:
            velocity = -velocity + rng.normal(size=2)
        # Inertia sets the speed within a stroke; a tremor of arbitrary speed would leave a blob.
        velocity *= rng.uniform(0.8, 1.2) / max(float(np.linalg.norm(velocity)), 1e-6)
        position = position + velocity
    path -= path.mean(axis=0)
    return path * (extent_px / max(float(np.ptp(path, axis=0).max()), 1e-6))


def motion_kernel(path: NDArray[np.float64]) -> Array:
    """Kernel (k, k) of odd side with sum 1 that averages along ``path`` (n, 2), bilinearly."""
    reach = int(np.ceil(np.abs(path).max())) + 1
    side = 2 * reach + 1
    kernel = np.zeros((side, side))
    # Between two points the camera keeps moving: fill the path to quarter pixels.
    lengths = np.linalg.norm(np.diff(path, axis=0), axis=1)
    travelled = np.concatenate([[0.0], np.cumsum(lengths)])
    dense = np.linspace(0.0, len(path) - 1.0, max(2, int(4 * travelled[-1]) + 2))
    points = np.stack(
        [np.interp(dense, np.arange(len(path)), path[:, axis]) for axis in range(2)], axis=1
    )
    corner = np.floor(points).astype(int)
    fraction = points - corner
    for dx in (0, 1):
        for dy in (0, 1):
            weight = np.abs(1 - dx - fraction[:, 0]) * np.abs(1 - dy - fraction[:, 1])
            np.add.at(kernel, (corner[:, 1] + dy + reach, corner[:, 0] + dx + reach), weight)
    return (kernel / kernel.sum()).astype(np.float32)


def blur_sample(sharp: Image, rng: np.random.Generator, config: BlurConfig) -> Image:
    """Blurred, noisy twin of ``sharp`` (H, W, 3) uint8 RGB, of the same shape."""
    if rng.random() < config.identity_fraction:
        return sharp
    extent_px = rng.uniform(0.5, config.longest_px)
    kernel = motion_kernel(shake_path(rng, extent_px))
    # Some cameras and data sets average frames as displayed, most sensors average light.
    in_display_light = rng.random() < config.display_light_fraction
    light = (_DISPLAY if in_display_light else _LINEAR)[sharp]
    filtered = cv2.filter2D(light, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    averaged = np.asarray(filtered, np.float32)
    blurred = averaged if in_display_light else _linear_to_srgb(averaged)
    return _with_sensor_noise(blurred, rng, config)


def _with_sensor_noise(blurred: Array, rng: np.random.Generator, config: BlurConfig) -> Image:
    """Quantise (H, W, 3) in [0, 1] to uint8 after Poisson-like and Gaussian noise."""
    read = rng.uniform(0.0, config.read_noise_max)
    shot = rng.uniform(0.0, config.shot_noise_max)
    sigma = np.sqrt(read**2 + shot**2 * np.clip(blurred, 0.0, 1.0))
    noisy = blurred * 255.0 + sigma * rng.standard_normal(blurred.shape, dtype=np.float32)
    return np.clip(np.rint(noisy), 0.0, 255.0).astype(np.uint8)
