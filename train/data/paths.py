"""Paths of a camera during one exposure, each a function of the generator handed in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from train.config import BlurConfig
from train.data.chance import happens

Path = NDArray[np.float64]
Spans = NDArray[np.float64]

_PATH_POINTS = 96
_ROLL_SMOOTHING = 12

# Over how much of the exposure a drifting camera keeps its velocity: a photograph's is long enough
# to turn back a few times, a few frames of video (30 to 50 ms) are not.
_PHOTOGRAPH_COHERENCE = (0.1, 0.8)
_VIDEO_COHERENCE = (0.4, 3.0)
_WAVES = 16

# Video blur is the mean of 7 to 13 frames (Nah et al., CVPR 2017). By day each of them is exposed
# for less than the time to the next, and what moved fast then lies in dots along its path.
_FEWEST_FRAMES, _MOST_FRAMES = 7, 13
_LONGEST_SHUTTER = 1.5

# From the first to the last moment of the path.
WHOLE: Spans = np.array([[0.0, 1.0]])


def camera_path(
    rng: np.random.Generator, extent_px: float, config: BlurConfig, *, like_video: bool = False
) -> Path:
    """Positions (n, 2) of a camera during an exposure, evenly spaced in time, in pixels (x, y).

    A photograph's is a shake, or in ``drift_fraction`` of the cases a drift, about its mean. Video
    drifts, and is where the sharp frame is, at the origin, in the middle of the exposure.
    """
    if like_video:
        path = drift_path(rng, extent_px, _draw_coherence(rng, _VIDEO_COHERENCE))
        return path - path[len(path) // 2]
    if happens(rng, config.drift_fraction):
        return drift_path(rng, extent_px, _draw_coherence(rng, _PHOTOGRAPH_COHERENCE))
    return shake_path(rng, extent_px, config)


def frame_spans(rng: np.random.Generator) -> Spans:
    """When the shutter is open for each of an odd number of video frames: (frames, 2), in [0, 1].

    Begin and end of each, of a path that takes from 0 to 1. In a third of the draws the shutter
    does not close between frames.
    """
    frames = 1 + 2 * int(rng.integers(_FEWEST_FRAMES // 2, _MOST_FRAMES // 2 + 1))
    opened = min(1.0, rng.uniform(0.0, _LONGEST_SHUTTER))
    middles = (np.arange(frames) + 0.5) / frames
    half = 0.5 * opened / frames
    return np.stack([middles - half, middles + half], axis=1)


def moments(spans: Spans, counts: NDArray[np.int64]) -> Path:
    """Moments in [0, 1], ``counts`` (n,) of them evenly within each of ``spans`` (n, 2)."""
    parts = [
        begin + (end - begin) * (np.arange(count) + 0.5) / count
        for (begin, end), count in zip(spans, counts, strict=True)
    ]
    return np.concatenate(parts)


def positions_at(path: Path, times: Path) -> Path:
    """Where ``path`` (n, k) is at ``times`` (m,) in [0, 1], linearly between its points: (m, k)."""
    known = np.linspace(0.0, 1.0, len(path))
    return np.stack([np.interp(times, known, column) for column in path.T], axis=1)


def shake_path(
    rng: np.random.Generator,
    extent_px: float,
    config: BlurConfig = BlurConfig(),  # noqa: B008 (it is frozen)
) -> Path:
    """Positions (n, 2) of a shaking camera, in pixels (x, y), centred on their mean.

    A random walk with inertia, after Boracchi and Foi, "Modeling the Performance of Image
    Restoration from Motion Blur", 2012, at nearly constant speed. The longer side of its bounding
    box is ``extent_px``; ``config`` bounds its turns.
    """
    # Squared: most hands move smoothly, some tremble.
    restlessness = config.restlessness_max * rng.uniform() ** 2
    jerk_probability = config.jerk_probability_max * rng.uniform() ** 2
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
    return _fit(path, extent_px)


def drift_path(rng: np.random.Generator, extent_px: float, coherence: float) -> Path:
    """Positions (n, 2) of a drifting camera, in pixels (x, y), centred on their mean.

    A Gaussian process with squared-exponential covariance of length ``coherence`` in exposures,
    drawn by random Fourier features (Rahimi and Recht, "Random Features for Large-Scale Kernel
    Machines", 2007): it slows down where it turns, as hands do. The longer side of its bounding box
    is ``extent_px``.
    """
    times = np.linspace(0.0, 1.0, _PATH_POINTS)[:, None, None]
    frequencies = rng.normal(size=(_WAVES, 2)) / coherence
    phases = rng.uniform(0.0, 2.0 * np.pi, size=(_WAVES, 2))
    return _fit(np.cos(frequencies * times + phases).sum(axis=1), extent_px)


def roll_path(
    rng: np.random.Generator, extent_deg: float, points: int, *, like_video: bool = False
) -> Path:
    """Roll angles (points,) of a shaking camera in degrees: a smooth walk that spans the extent.

    Their mean is 0, with ``like_video`` the one in the middle.
    """
    steps = np.convolve(rng.normal(size=points + _ROLL_SMOOTHING - 1), np.ones(_ROLL_SMOOTHING))
    walk = np.cumsum(steps[_ROLL_SMOOTHING - 1 : _ROLL_SMOOTHING - 1 + points])
    walk = _fit(walk, extent_deg)
    return walk - walk[points // 2] if like_video else walk


def _draw_coherence(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    low, high = np.log(bounds)
    return float(np.exp(rng.uniform(low, high)))


def _fit(path: Path, extent: float) -> Path:
    """``path`` (n, ...) about its mean, scaled to that extent along its longest axis."""
    path = path - path.mean(axis=0)
    return path * (extent / max(float(np.ptp(path, axis=0).max()), 1e-6))
