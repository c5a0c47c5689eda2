"""Scores as tables: for people, in the paper's layout beside its own rows, and for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import msgspec

from train.measuring.others import PAPER_COLUMNS, PAPER_NOTE
from train.measuring.scores import Row, Score


def to_table(scores: Sequence[Score]) -> str:
    """What deblurring gains, as a Markdown table."""
    lines = [
        "| group | pictures | steps x samples | blurred dB | deblurred dB | gain dB | "
        "sharp kept dB (min) |",
        "|---|---|---|---|---|---|---|",
    ]
    for score in scores:
        kept = (
            "not measured"
            if score.sharp_kept is None
            else f"{score.sharp_kept:.2f} ({score.sharp_kept_min:.2f})"
        )
        lines.append(
            f"| {score.group} | {score.pictures} | {score.steps} x {score.samples} | "
            f"{score.blurred:.2f} | {score.deblurred:.2f} | {score.gain:+.2f} | {kept} |"
        )
    return "\n".join(lines)


def to_paper_table(scores: Sequence[Score], others: Mapping[str, Mapping[str, float]]) -> str:
    """All pictures in the layout of the paper's Tables 1 and 2, and what its rows are worth.

    ``others`` are rows of other methods by name, the paper's among them; they stand above ours,
    with as many digits as they have. KID is times 1000.
    """
    whole = [score for score in scores if score.group == "all"]
    extra = [name for name in whole[0].metrics if name not in PAPER_COLUMNS]
    columns = [*PAPER_COLUMNS, *extra]
    first = whole[0]
    ours = {
        "sharp originals": first.sharp_metrics,
        "blurred": {**first.input_metrics, "psnr": first.blurred},
        **{f"ours, {s.steps} x {s.samples}": {**s.metrics, "psnr": s.deblurred} for s in whole},
    }
    lines = [
        "| | " + " | ".join([*map(_to_head, PAPER_COLUMNS), *extra]) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(_to_line(name, values, columns, "g") for name, values in others.items()),
        *(_to_line(name, values, columns, ".3f") for name, values in ours.items()),
    ]
    return "\n".join([*lines, "", PAPER_NOTE])


def _to_head(name: str) -> str:
    scale = " x 1000" if name == "kid" else ""
    return f"{name.upper()}{scale} ({'higher' if PAPER_COLUMNS[name] == '^' else 'lower'})"


def _to_line(name: str, values: Mapping[str, float], columns: Sequence[str], digits: str) -> str:
    cells = (f"{values[c]:{digits}}" if c in values else "not measured" for c in columns)
    return f"| {name} | {' | '.join(cells)} |"


def to_spread_table(scores: Sequence[Score]) -> str:
    """How the samples' standard deviation compares with the error, as a Markdown table."""
    lines = [
        "| group | steps x samples | std (grey levels) | mean error | predicted / real error | "
        "correlation |",
        "|---|---|---|---|---|---|",
    ]
    for score in scores:
        if score.spread is not None:
            s = score.spread
            lines.append(
                f"| {score.group} | {score.steps} x {score.samples} | {s.std:.2f} | {s.error:.2f} "
                f"| {s.ratio:.2f} | {s.correlation:.2f} |"
            )
    return "\n".join(lines)


def to_csv(rows: Sequence[Row]) -> bytes:
    """One line for each picture and setting."""
    records = [_to_record(row) for row in rows]
    text = io.StringIO()
    columns = dict.fromkeys(name for record in records for name in record)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def _to_record(row: Row) -> dict[str, object]:
    spread = msgspec.structs.asdict(row.spread) if row.spread is not None else {}
    numbers = {
        "blurred_db": row.blurred,
        "deblurred_db": row.deblurred,
        "gain_db": row.deblurred - row.blurred,
        "sharp_kept_db": row.sharp_kept,
        **{f"blurred_{name}": value for name, value in row.input_metrics.items()},
        **{f"deblurred_{name}": value for name, value in row.metrics.items()},
        **{f"sharp_{name}": value for name, value in row.sharp_metrics.items()},
        **{f"spread_{name}": value for name, value in spread.items()},
    }
    return {
        "group": row.group,
        "picture": row.picture,
        "steps": row.setting.steps,
        "samples": row.setting.samples,
        **{name: "" if value is None else round(value, 5) for name, value in numbers.items()},
    }
