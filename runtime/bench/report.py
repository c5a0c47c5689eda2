"""The HTML report: one file that loads nothing, runs no script, and can be kept for years."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib.util import find_spec

from runtime.bench.compare import Change
from runtime.bench.lines import lines_over_pixels
from runtime.bench.rows import Row
from runtime.bench.tables import NOT_MEASURED, describe_ratios, describe_rooflines
from runtime.errors import EngineError

# Even if something in it asked for a file, the browser would refuse.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
       color: #1b1b1b; background: #fff; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.lead { color: #555; margin-top: 0; } p.note { color: #555; font-size: .9rem; max-width: 60rem; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .55rem; text-align: right; white-space: nowrap;
         border-bottom: 1px solid #e4e4e4; }
th { border-bottom: 2px solid #999; font-weight: 600; position: sticky; top: 0; background: #fff; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
tr.peer td { color: #666; }
tr.faster td.verdict { color: #00694b; font-weight: 600; }
tr.slower td.verdict { color: #b03a00; font-weight: 600; }
figure { margin: 0; } figure svg { max-width: 100%; height: auto; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem; }
dt { color: #555; } dd { margin: 0; }
"""
_PLOTS = (
    (
        "latency_distribution",
        "Latency distribution",
        "How many calls took longer than a time. A steep curve is a steady engine; where it "
        "flattens to the right is the tail. Nothing is clipped.",
    ),
    (
        "time_over_pixels",
        "Time against pixels",
        "Typical calls, the straight line through them (dashed) and 10 % to either side of it.",
    ),
    (
        "quality_over_time",
        "Quality against time",
        "Each point is the artefact that was timed, on the same pairs of pictures.",
    ),
    (
        "stages",
        "Where the time goes",
        "Stages as the session reports them, medians over all calls.",
    ),
)


def check_plots() -> None:
    """Raise EngineError where the plots cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise EngineError(
            "the report's plots need matplotlib, which is not installed; type: "
            "pip install 'dvsr-edge[bench]', or leave out --html"
        )


def to_html(rows: Sequence[Row], changes: Sequence[Change] = ()) -> str:
    """The whole report of at least one row; raises EngineError without matplotlib."""
    check_plots()
    plots = importlib.import_module("runtime.bench.plots")
    parts = [
        f"<h1>DvSR Edge latency</h1><p class='lead'>{escape(rows[0].machine.device)}</p>",
        _facts(rows),
        *_changes(changes),
        *(part for name, title, note in _PLOTS for part in _plot(plots, name, title, note, rows)),
        "<h2>Every row</h2>",
        "<p class='note'>Milliseconds of whole deblur() calls, wall clock. A percentile is a time "
        "that was taken, so with fewer than a hundred runs p99 is the slowest. Grey rows are "
        "peers: other ways to do the same work on the same weights. An empty cell was not "
        "measured.</p>",
        _table(_COLUMNS, rows, lambda row: row.case.kind),
        *_list("Ratios, over rounds taken in turns", describe_ratios(rows)),
        *_list("Straight lines over pixels", _lines(rows)),
        *_list("Share of this device's measured peak", describe_rooflines(rows)),
    ]
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>DvSR Edge latency</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


Cell = Callable[[Row], str]
_COLUMNS: tuple[tuple[str, Cell], ...] = (
    ("case", lambda row: row.case.label),
    ("work", lambda row: str(row.case.work)),
    ("p50", lambda row: f"{row.latency.p50:.2f}"),
    ("p90", lambda row: f"{row.latency.p90:.2f}"),
    ("p99", lambda row: f"{row.latency.p99:.2f}"),
    ("p99.9", lambda row: f"{row.latency.p999:.2f}"),
    ("max", lambda row: f"{row.latency.max:.2f}"),
    ("mean", lambda row: f"{row.latency.mean:.2f}"),
    ("sd", lambda row: f"{row.latency.sd:.2f}"),
    ("runs", lambda row: str(row.latency.runs)),
    ("pictures/s", lambda row: f"{row.pictures_per_s:.2f}"),
    ("after idle, worst", lambda row: f"{max(row.after_idle_ms):.2f}" if row.after_idle_ms else ""),
    ("bare engine", lambda row: f"{row.floor.ms:.2f}" if row.floor else ""),
    ("beyond it", lambda row: f"{row.floor.overhead.median:.1%}" if row.floor else ""),
    ("not engine", lambda row: f"{row.outside_engine.median:.1%}" if row.outside_engine else ""),
    ("cold start", lambda row: f"{row.cold.total_ms:.0f}" if row.cold else ""),
    ("import", lambda row: f"{row.cold.import_ms:.0f}" if row.cold else ""),
    ("open", lambda row: f"{row.cold.open_ms:.0f}" if row.cold else ""),
    ("first picture", lambda row: f"{row.cold.first_ms:.0f}" if row.cold else ""),
    ("host MiB", lambda row: f"{row.host_peak_mib:.0f}" if row.host_peak_mib else ""),
    ("device MiB", lambda row: _used(row, "device_memory_mib", ".0f")),
    ("J/picture", lambda row: _used(row, "energy_j_per_picture", ".3f")),
    ("W", lambda row: _used(row, "power_w", ".1f")),
    ("MHz", lambda row: _used(row, "clock_mhz", "d")),
    ("°C", lambda row: _used(row, "temperature_c", ".0f")),
    ("throttled", lambda row: ", ".join(row.usage.throttled) if row.usage else ""),
    ("missed deadlines", lambda row: ", ".join(f"{d.misses} @ {d.fps:g}" for d in row.deadlines)),
    ("PSNR dB", lambda row: f"{row.quality.psnr_db:.2f}" if row.quality else ""),
    ("SSIM", lambda row: f"{row.quality.ssim:.4f}" if row.quality and row.quality.ssim else ""),
)


def _used(row: Row, name: str, form: str) -> str:
    value = getattr(row.usage, name) if row.usage else None
    return "" if value is None else format(value, form)


def _table(
    columns: Sequence[tuple[str, Cell]], rows: Sequence[Row], kind: Callable[[Row], str]
) -> str:
    """All columns that at least one row fills."""
    used = [(name, cell) for name, cell in columns if any(cell(row) for row in rows)]
    head = "".join(f"<th>{escape(name)}</th>" for name, _ in used)
    body = "".join(
        f"<tr class='{kind(row)}'>"
        + "".join(f"<td>{escape(cell(row))}</td>" for _, cell in used)
        + "</tr>"
        for row in rows
    )
    return _wide(head, body)


def _wide(head: str, body: str) -> str:
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div class='wide'>{table}</div>"


def _facts(rows: Sequence[Row]) -> str:
    machine, software, plan = rows[0].machine, rows[0].software, rows[0].plan
    loads = [row.load_1min for row in rows]
    unstable = sum(not row.warm_up_stable for row in rows)
    facts = {
        "measured": f"{min(r.measured_at for r in rows)} to {max(r.measured_at for r in rows)}",
        "made by": f"{software.made_by}, commit {software.commit or 'unknown (no checkout)'}",
        "libraries": ", ".join(f"{k} {v}" for k, v in software.libraries.items()),
        "engines": "; ".join(dict.fromkeys(row.engine for row in rows)),
        "bundles": "; ".join(
            dict.fromkeys(
                f"{row.case.build} ({row.case.precision}, sha256 {row.case.bundle_sha256[:12]})"
                for row in rows
            )
        ),
        "machine": f"{machine.cpu}, {machine.cores} cores, {machine.memory_mib} MiB, "
        f"{machine.system}",
        "power mode": machine.power_mode or "",
        "set from outside": ", ".join(f"{k}={v}" for k, v in machine.environment.items()),
        "other load": f"{min(loads):.1f} to {max(loads):.1f} processes when a row began",
        "each row": f"at least {plan.runs} runs and {plan.seconds:g} s, in blocks taken in turns",
        "warm-up": f"{unstable} of {len(rows)} rows were not stable when it ended"
        if unstable
        else "all rows were stable when it ended",
    }
    items = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value
    )
    return f"<dl>{items}</dl>"


def _plot(plots: object, name: str, title: str, note: str, rows: Sequence[Row]) -> Iterable[str]:
    yield f"<h2>{escape(title)}</h2>"
    if name == "quality_over_time" and not any(row.quality for row in rows):
        yield f"<p class='note'>{NOT_MEASURED}: run with --data and a folder of pairs.</p>"
        return
    svg: str = getattr(plots, name)(rows)
    yield f"<p class='note'>{escape(note)}</p><figure id='{name}'>{svg}</figure>"


def _changes(changes: Sequence[Change]) -> Iterable[str]:
    if not changes:
        return
    yield "<h2>Against the older results</h2>"
    head = "".join(f"<th>{name}</th>" for name in ("case", "work", "old p50", "new p50", "", ""))
    body = "".join(
        f"<tr class='{change.verdict}'><td>{escape(change.case.label)}</td>"
        f"<td>{escape(str(change.case.work))}</td><td>{change.old_ms:.2f}</td>"
        f"<td>{change.new_ms:.2f}</td><td>{100.0 * (change.ratio - 1.0):+.1f} %</td>"
        f"<td class='verdict'>{'within noise' if change.verdict == 'same' else change.verdict}</td>"
        "</tr>"
        for change in changes
    )
    yield _wide(head, body)


def _list(title: str, lines: Sequence[str]) -> Iterable[str]:
    if lines:
        items = "".join(f"<li>{escape(line)}</li>" for line in lines)
        yield f"<h2>{escape(title)}</h2><ul>{items}</ul>"


def _lines(rows: Sequence[Row]) -> list[str]:
    return [
        f"{name}: at most {line.largest_deviation:.1%} off {line.fixed_ms:.1f} ms + "
        f"{line.ms_per_mpx:.1f} ms per megapixel, over {line.points} sizes"
        for name, line in lines_over_pixels(rows).items()
    ]
