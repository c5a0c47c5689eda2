"""Scores as tables: for people, in the paper's layout beside its own rows, and for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from runtime.errors import DataError
from train.measuring.scores import Row, Score

# The columns of the paper's Tables 1 and 2, and which way is better.
PAPER_COLUMNS = {"lpips": "v", "niqe": "v", "fid": "v", "kid": "v", "psnr": "^", "ssim": "^"}


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
    """All pictures in the layout of the paper's Tables 1 and 2; KID is times 1000.

    ``others`` are rows of other methods by name, to stand beside ours.
    """
    whole = [score for score in scores if score.group == "all"]
    extra = [name for name in whole[0].metrics if name not in PAPER_COLUMNS]
    columns = [*PAPER_COLUMNS, *extra]
    arrows = {"^": "higher", "v": "lower", "": ""}
    heads = (f"{name.upper()} ({arrows[PAPER_COLUMNS[name]]})" for name in PAPER_COLUMNS)
    first = whole[0]
    rows = {
        **others,
        "sharp originals": first.sharp_metrics,
        "blurred": {**first.input_metrics, "psnr": first.blurred},
        **{f"ours, {s.steps} x {s.samples}": {**s.metrics, "psnr": s.deblurred} for s in whole},
    }
    lines = ["| | " + " | ".join([*heads, *extra]) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, values in rows.items():
        cells = (f"{values[c]:.3f}" if c in values else "not measured" for c in columns)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


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


def read_others(path: Path) -> dict[str, dict[str, float]]:
    """Rows of other methods from a CSV file: column "method", then metrics; blanks are left out.

    Raises DataError for a file that is not of this form.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        return {
            row.pop("method"): {name: float(value) for name, value in row.items() if value}
            for row in rows
        }
    except (OSError, UnicodeDecodeError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"cannot read {path} ({error}); wanted is a CSV file with the column 'method' and "
            f"any of {', '.join(PAPER_COLUMNS)}"
        ) from error


def to_csv(rows: Sequence[Row]) -> bytes:
    """One line for each picture and setting."""
    lines = [_to_line(row) for row in rows]
    text = io.StringIO()
    columns = dict.fromkeys(name for line in lines for name in line)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().encode()


def _to_line(row: Row) -> dict[str, object]:
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
