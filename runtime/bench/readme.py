"""README.md's latency tables, made of result files: nobody types a figure."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.bench.cases import Work
from runtime.bench.rows import Row
from runtime.bench.tables import NOT_MEASURED
from runtime.errors import OptionError

BEGIN, END = "<!-- benchmark table -->", "<!-- /benchmark table -->"


def readme_table(rows: Sequence[Row]) -> str:
    """Markdown between the markers: for each device, times by work, then the rest by engine.

    Raises OptionError without a row.
    """
    if not rows:
        raise OptionError("got no rows; give result files of python -m runtime.bench --out")
    devices = dict.fromkeys(row.machine.device for row in rows)
    return "\n\n".join(
        _device(device, [row for row in rows if row.machine.device == device]) for device in devices
    )


def between_markers(text: str) -> str | None:
    """What stands between the benchmark markers of ``text``; None where there are none."""
    _, begun, rest = text.partition(BEGIN)
    inside, ended, _ = rest.partition(END)
    return inside.strip() if begun and ended else None


def _device(device: str, rows: Sequence[Row]) -> str:
    commits = dict.fromkeys((row.software.commit or "a release")[:12] for row in rows)
    loads = [row.load_1min for row in rows]
    runs = [row.latency.runs for row in rows]
    return "\n".join(
        [
            f"{device}; median (p99) of a whole call in milliseconds, {min(runs)} to {max(runs)} "
            f"runs each; commit {', '.join(commits)}; load average {min(loads):.1f} to "
            f"{max(loads):.1f} when a row began:",
            "",
            *_times(rows),
            "",
            *_rest(rows),
        ]
    )


def _times(rows: Sequence[Row]) -> list[str]:
    """A line for each work, a column for each engine and peer."""
    cells = {(row.case.work, row.case.label): row for row in rows}
    labels = list(dict.fromkeys(row.case.label for row in rows))
    works = list(dict.fromkeys(row.case.work for row in rows))
    return [
        _line(["picture", "steps x samples", *labels]),
        _line(["---"] * (2 + len(labels))),
        *(_line([*_work(w), *(_time(cells.get((w, name))) for name in labels)]) for w in works),
    ]


def _work(work: Work) -> tuple[str, str]:
    batch = f", batch {work.batch}" if work.batch > 1 else ""
    return f"{work.width_px}x{work.height_px}{batch}", f"{work.steps} x {work.samples}"


def _time(row: Row | None) -> str:
    return NOT_MEASURED if row is None else f"{row.latency.p50:.1f} ({row.latency.p99:.1f})"


def _rest(rows: Sequence[Row]) -> list[str]:
    """What each engine takes beside time, at the largest work measured with it."""
    largest = {
        row.case.label: row
        for row in sorted(rows, key=lambda r: (r.case.work.megapixels, r.case.work.steps))
    }
    head = ["engine", "at", "cold start ms", "host MiB", "beyond the bare engine", "PSNR dB", "ran"]
    return [
        _line(head),
        _line(["---"] * len(head)),
        *(_line(_rest_cells(row)) for row in largest.values()),
    ]


def _rest_cells(row: Row) -> list[str]:
    size, steps = _work(row.case.work)
    return [
        row.case.label,
        f"{size}, {steps}",
        f"{row.cold.total_ms:.0f}" if row.cold else NOT_MEASURED,
        f"{row.host_peak_mib:.0f}" if row.host_peak_mib else NOT_MEASURED,
        f"{row.floor.overhead.median:.1%}" if row.floor else NOT_MEASURED,
        f"{row.quality.psnr_db:.2f}" if row.quality else NOT_MEASURED,
        row.engine,
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
