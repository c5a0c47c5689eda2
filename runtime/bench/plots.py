"""The report's plots as SVG text; the one file that imports matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from runtime.bench.lines import times_over_pixels
from runtime.bench.rows import Row
from runtime.bench.statistics import fit_line

# Okabe and Ito, "Color Universal Design": told apart by colour-blind readers too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_STAGE_COLOURS = ("#56B4E9", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#999999", "#D55E00")
_STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.alpha": 0.3,
    # Text stays text: it can be read, searched and copied, and the file is a third of the size.
    "svg.fonttype": "none",
}
_BAND = 0.10

Draw = Callable[[Axes, Sequence[Row]], None]


def latency_distribution(rows: Sequence[Row]) -> str:
    """For each size, the share of calls that took longer than a time: tails are the low end."""
    return _panels(rows, lambda row: _size(row), _draw_tail, "latency")


def time_over_pixels(rows: Sequence[Row]) -> str:
    """For each number of steps, medians over megapixels, with their straight line and its 10 %."""
    return _panels(rows, lambda row: f"{row.case.work.steps} steps", _draw_pixels, "pixels")


def quality_over_time(rows: Sequence[Row]) -> str:
    """PSNR of the artefacts against the time of one picture, for each size."""
    measured = [row for row in rows if row.quality is not None]
    return _panels(measured, lambda row: _size(row), _draw_quality, "quality")


def stages(rows: Sequence[Row]) -> str:
    """Where the time of a call goes, engine by engine at the largest size, as shares of it."""
    engines = [row for row in rows if row.stages_ms.get("total")]
    largest = max((row.case.work.megapixels for row in engines), default=0.0)
    chosen = [row for row in engines if row.case.work.megapixels == largest]
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": "stages"}):
        figure = Figure(figsize=(10.0, 1.2 + 0.34 * len(chosen)), layout="constrained")
        axes = figure.subplots()
        _draw_stages(axes, chosen)
        return _to_svg(figure)


def _draw_tail(axes: Axes, rows: Sequence[Row]) -> None:
    labelled: set[int] = set()
    for row in rows:
        times = np.sort([time for times in row.times_ms for time in times])
        slower = 1.0 - np.arange(len(times)) / len(times)
        axes.step(times, slower, where="post", color=_colour(row), linewidth=1.4)
        # What stands beside it at the same steps starts at nearly the same time: one label for all.
        if row.case.work.steps not in labelled:
            labelled.add(row.case.work.steps)
            axes.annotate(
                f"T={row.case.work.steps}",
                (times[0], 1.0),
                textcoords="offset points",
                xytext=(0, 3),
                fontsize=7,
                ha="center",
            )
    axes.set_yscale("log")
    axes.set_xscale("log")
    _logarithmic(axes.xaxis)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100.0 * value:g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    # A decade at least, so that one number stands on the axis beside 100 %.
    axes.set_ylim(top=1.6, bottom=min(0.08, axes.get_ylim()[0]))
    axes.set_xlabel("milliseconds")
    axes.set_ylabel("share of calls that took longer")


def _draw_pixels(axes: Axes, rows: Sequence[Row]) -> None:
    for label in dict.fromkeys(row.case.label for row in rows):
        mine = [row for row in rows if row.case.label == label]
        x, y = times_over_pixels(mine)
        line = fit_line(x, y)
        if line is not None:
            ends = np.linspace(min(x), max(x), 30)
            fitted = line.fixed_ms + line.ms_per_mpx * ends
            axes.fill_between(
                ends,
                fitted * (1.0 - _BAND),
                fitted * (1.0 + _BAND),
                color=_colour(mine[0]),
                alpha=0.12,
                linewidth=0.0,
            )
            axes.plot(ends, fitted, color=_colour(mine[0]), linewidth=1.0, linestyle="--")
        axes.plot(x, y, "o", color=_colour(mine[0]), markersize=5)
    axes.set_xlim(left=0.0)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("megapixels in a call")
    axes.set_ylabel("typical call, milliseconds")


def _draw_quality(axes: Axes, rows: Sequence[Row]) -> None:
    for row in rows:
        assert row.quality is not None
        work = row.case.work
        per_picture = row.latency.p50 / work.batch
        axes.plot(per_picture, row.quality.psnr_db, "o", color=_colour(row), markersize=5)
        samples = f"x{work.samples}" if work.samples > 1 else ""
        axes.annotate(
            f"T={work.steps}{samples}",
            (per_picture, row.quality.psnr_db),
            textcoords="offset points",
            xytext=(5, 3),
            fontsize=7,
        )
    axes.axhline(
        float(np.mean([row.quality.blurred_psnr_db for row in rows if row.quality])),
        color="#777777",
        linewidth=1.0,
        linestyle=":",
    )
    axes.set_xscale("log")
    _logarithmic(axes.xaxis)
    axes.margins(0.15)
    axes.set_xlabel("median, milliseconds a picture")
    axes.set_ylabel("PSNR, dB (dotted: the input)")


def _draw_stages(axes: Axes, rows: Sequence[Row]) -> None:
    names = list(
        dict.fromkeys(
            name
            for row in rows
            for name in row.stages_ms
            if name != "total" and not name.startswith("step ")
        )
    )
    for place, row in enumerate(rows):
        total, left = row.stages_ms["total"], 0.0
        parts = [row.stages_ms.get(name, 0.0) / total for name in names]
        rest = max(0.0, 1.0 - sum(parts))
        for share, colour in zip([*parts, rest], _stage_colours(len(names)), strict=True):
            axes.barh(place, share, left=left, color=colour, height=0.7)
            left += share
    axes.set_yticks(
        range(len(rows)), [f"{row.case.label}, T={row.case.work.steps}" for row in rows]
    )
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100.0 * value:g} %"))
    axes.grid(visible=False, axis="y")
    handles = [
        matplotlib.patches.Patch(color=colour, label=name)
        for name, colour in zip([*names, "the rest"], _stage_colours(len(names)), strict=True)
    ]
    if rows:
        axes.set_title(f"{_size(rows[0])}: share of a call", loc="left")
        axes.figure.legend(handles=handles, loc="outside lower center", ncols=8, frameon=False)


def _panels(rows: Sequence[Row], panel_of: Callable[[Row], str], draw: Draw, salt: str) -> str:
    """One panel for each value of ``panel_of``, three in a line, with one legend for all."""
    names = list(dict.fromkeys(panel_of(row) for row in rows)) or [""]
    columns = min(3, len(names))
    lines = math.ceil(len(names) / columns)
    _assign_colours(rows)
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt}):
        size = (max(5.2, 3.6 * columns), 3.1 * lines + 0.5)
        figure = Figure(figsize=size, layout="constrained")
        grid = np.atleast_1d(figure.subplots(lines, columns, squeeze=False)).ravel()
        for axes, name in zip(grid, names, strict=False):
            draw(axes, [row for row in rows if panel_of(row) == name])
            axes.set_title(name, loc="left")
        for axes in grid[len(names) :]:
            axes.set_visible(False)
        handles = [
            matplotlib.lines.Line2D([], [], color=_colour(row), marker="o", label=label)
            for label, row in {row.case.label: row for row in rows}.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
        return _to_svg(figure)


_ASSIGNED: dict[str, str] = {}


def _assign_colours(rows: Sequence[Row]) -> None:
    for label in dict.fromkeys(row.case.label for row in rows):
        _ASSIGNED.setdefault(label, _COLOURS[len(_ASSIGNED) % len(_COLOURS)])


def _colour(row: Row) -> str:
    return _ASSIGNED[row.case.label]


def _stage_colours(names: int) -> list[str]:
    known = [_STAGE_COLOURS[index % len(_STAGE_COLOURS)] for index in range(names)]
    return [*known, "#DDDDDD"]


def _size(row: Row) -> str:
    work = row.case.work
    return f"{work.width_px}x{work.height_px}" + (f", batch {work.batch}" if work.batch > 1 else "")


def _logarithmic(axis: Any) -> None:
    """Plain numbers on a logarithmic axis: 1, 10, 100, not powers of ten."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _to_svg(figure: Figure) -> str:
    """The figure's ``<svg>`` element, without the XML and document type before it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
