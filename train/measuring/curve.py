"""The perception-distortion curve: who is on it, which points to recommend, and the picture.

Blau and Michaeli, "The Perception-Distortion Tradeoff", CVPR 2018: no method can be best at both.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.files import write_whole
from train.extras import load
from train.measuring.grids import START_NAMES
from train.measuring.points import Point

PICTURE = "curve.png"

# What can stand for perception, the most trusted first; lower is better for all.
AXES = {
    "lpips": "LPIPS",
    "niqe": "NIQE",
    "blur_gap": "distance from the sharp pictures' blur effect",
}


def axis(points: Sequence[Point]) -> str | None:
    """What stands for perception: the first of AXES that all ``points`` have; None without one."""
    for name in AXES:
        if all(getattr(point, name) is not None for point in points):
            return name
    return None


def perception(point: Point, name: str) -> float:
    """``name`` of AXES at ``point``; lower is better."""
    return float(getattr(point, name))


def recommend(
    points: Sequence[Point], *, calls: int = 40, realtime_calls: int = 2
) -> dict[str, Point]:
    """The best points: ``distortion``, ``balanced`` of at most ``calls``, ``realtime``.

    ``distortion`` has the highest PSNR, among points within 0.01 dB the one of fewest calls; so has
    ``realtime``, of at most ``realtime_calls`` and at least one. ``balanced`` is the point of the
    curve nearest to the best PSNR and the best perception, each scaled to the range of the curve.
    A preset for which no point qualifies is left out.
    """
    drawn = [point for point in points if point.calls > 0]
    chosen = {
        "distortion": _highest_psnr(drawn),
        "balanced": _nearest_to_both([p for p in drawn if p.calls <= calls]),
        "realtime": _highest_psnr([p for p in drawn if p.calls <= realtime_calls]),
    }
    return {name: point for name, point in chosen.items() if point is not None}


def _highest_psnr(points: Sequence[Point]) -> Point | None:
    if not points:
        return None
    # A hundredth of a dB is not seen, and never worth another call.
    enough = max(point.psnr for point in points) - 0.01
    return min((p for p in points if p.psnr >= enough), key=lambda p: (p.calls, -p.psnr))


def _nearest_to_both(points: Sequence[Point]) -> Point | None:
    curve, name = front(points), axis(points)
    if not curve or name is None:
        return _highest_psnr(points)
    distortion = _scaled([-point.psnr for point in curve])
    perceived = _scaled([perception(point, name) for point in curve])
    distance = [a**2 + b**2 for a, b in zip(distortion, perceived, strict=True)]
    return curve[distance.index(min(distance))]


def _scaled(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / max(high - low, 1e-12) for value in values]


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other one beats at both, from the highest PSNR down.

    Empty where nothing that stands for perception was measured.
    """
    name = axis(points)
    if name is None:
        return []
    kept: list[Point] = []
    best = float("inf")
    for point in sorted(points, key=lambda p: (-p.psnr, perception(p, name), p.calls)):
        if perception(point, name) < best:
            kept.append(point)
            best = perception(point, name)
    return kept


def draw(
    path: Path,
    points: Sequence[Point],
    chosen: Mapping[str, Point],
    others: Mapping[str, Mapping[str, float]],
) -> None:
    """Draw the curve into ``path``; raises MissingExtraError without matplotlib.

    ``points`` have an axis(). ``others`` are results of other methods by name; those with the
    metrics of both axes are drawn on axes of their own: they were measured on other pictures.
    """
    name = axis(points)
    assert name is not None
    figures = load("matplotlib.figure", "plot")
    beside = {
        other: (values["psnr"], values[name])
        for other, values in others.items()
        if {"psnr", name} <= values.keys()
    }
    figure = figures.Figure(figsize=(12 if beside else 8, 6), layout="constrained")
    axes, *rest = figure.subplots(1, 2 if beside else 1, squeeze=False)[0]
    _draw_ours(axes, points, chosen, name)
    for other_axes in rest:
        _draw_others(other_axes, beside, name)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    write_whole(path, image.getvalue())


def _draw_ours(axes: Any, points: Sequence[Point], chosen: Mapping[str, Point], name: str) -> None:
    def positions(of: Sequence[Point]) -> tuple[list[float], list[float]]:
        return [p.psnr for p in of], [perception(p, name) for p in of]

    for number, family in enumerate(dict.fromkeys(_family(p) for p in points if p.calls)):
        members = [p for p in points if p.calls and _family(p) == family]
        colour, label = f"C{number}", f"{family[0]}, from {family[1]}"
        sizes = [12.0 + 8.0 * point.samples for point in members]
        axes.scatter(*positions(members), s=sizes, c=colour, alpha=0.6, label=label)
        for sampler in dict.fromkeys(p.sampler for p in members):
            averaged = sorted((p for p in members if p.sampler == sampler), key=lambda p: p.samples)
            axes.plot(*positions(averaged), c=colour, linewidth=0.8, alpha=0.5)
            # The sampler's name is its steps; many samplers on one spot would be unreadable.
            first = averaged[0]
            axes.annotate(
                str(first.steps),
                (first.psnr, perception(first, name)),
                textcoords="offset points",
                xytext=(-4, -11),
                fontsize=7,
                color=colour,
            )
    alone = [point for point in points if not point.calls]
    axes.scatter(*positions(alone), marker="x", c="k", label="predictor")
    axes.plot(*positions(front(points)), "k:", linewidth=1)
    # Leftwards and at rising heights: the best points lie close together at the right.
    for row, (preset, point) in enumerate(chosen.items()):
        axes.annotate(
            f"{preset}: {point.steps}x{point.samples}",
            (point.psnr, perception(point, name)),
            textcoords="offset points",
            xytext=(-24, 4 + 12 * row),
            ha="right",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "alpha": 0.5},
        )
    # Room above the highest points for the presets' names.
    axes.margins(y=0.12)
    axes.set_xlabel("PSNR in dB (right is better)")
    axes.set_ylabel(f"{AXES[name]} (lower is better)")
    axes.set_title("Numbers: steps; larger dots: more samples averaged", fontsize=10)
    axes.legend(fontsize=8)


def _draw_others(axes: Any, beside: Mapping[str, tuple[float, float]], name: str) -> None:
    for other, position in beside.items():
        axes.scatter(*position, marker="*", s=80, label=other)
    axes.set_xlabel("PSNR in dB (right is better)")
    axes.set_ylabel(f"{AXES[name]} (lower is better)")
    model = ", by another NIQE model" if name == "niqe" else ""
    axes.set_title(f"Others, on their own pictures{model}", fontsize=10)
    axes.legend(fontsize=8)


def _family(point: Point) -> tuple[str, str]:
    return point.method, START_NAMES[point.start]
