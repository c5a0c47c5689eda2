"""Rows as text for the terminal: the table, and what follows from it in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.bench.lines import lines_over_pixels
from runtime.bench.rows import Row

NOT_MEASURED = "not measured"


def to_text(rows: Sequence[Row]) -> str:
    """A table of fixed width for the terminal; an empty cell was not measured."""
    header = (
        "case", "p50 ms", "p90", "p99", "p99.9", "max", "mean", "sd", "runs", "img/s",
        "floor ms", "over", "idle ms", "cold ms", "MiB", "J/img", "misses",
    )  # fmt: skip
    lines = [header, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    latency, floor, usage = row.latency, row.floor, row.usage
    tails = (latency.p50, latency.p90, latency.p99, latency.p999, latency.max)
    return (
        f"{row.case.label} {row.case.work}",
        *(f"{value:.1f}" for value in (*tails, latency.mean, latency.sd)),
        str(latency.runs),
        f"{row.pictures_per_s:.2f}",
        f"{floor.ms:.1f}" if floor else "",
        f"{100.0 * floor.overhead.median:.1f} %" if floor else "",
        f"{max(row.after_idle_ms):.1f}" if row.after_idle_ms else "",
        f"{row.cold.total_ms:.0f}" if row.cold else "",
        f"{row.host_peak_mib:.0f}" if row.host_peak_mib else "",
        f"{usage.energy_j_per_picture:.3f}" if usage and usage.energy_j_per_picture else "",
        " ".join(f"{d.misses}/{d.runs}@{d.fps:g}" for d in row.deadlines),
    )


def describe_ratios(rows: Sequence[Row]) -> list[str]:
    """How many times as fast each engine is as each peer beside it."""
    return [
        f"{row.case.label}, {row.case.work}: {found.median:.2f} times as fast as {other} "
        f"({found.low:.2f} to {found.high:.2f} over the rounds)"
        for row in rows
        if row.case.kind == "engine"
        for other, found in row.faster_than.items()
    ]


def describe_rooflines(rows: Sequence[Row]) -> list[str]:
    """What share of the device's measured peak each row reached."""
    return [
        f"{row.case.label}, {row.case.work}: {row.roof.gflop:.4g} GFLOP at "
        f"{row.roof.gflops:.3g} GFLOP/s"
        + (
            f", {row.roof.share:.0%} of {row.roof.peak_gflops:.4g} ({row.roof.peak_by})"
            if row.roof.share is not None
            else f" (peak {row.roof.peak_by})"
        )
        for row in rows
        if row.roof is not None
    ]


def describe_lines(rows: Sequence[Row]) -> list[str]:
    """The straight lines in words."""
    return [
        f"{name}: {line.fixed_ms:.1f} ms + {line.ms_per_mpx:.1f} ms per megapixel, at most "
        f"{line.largest_deviation:.1%} off over {line.points} sizes"
        for name, line in lines_over_pixels(rows).items()
    ]
