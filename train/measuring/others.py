"""Results of others to stand beside ours: what the paper states, and rows from a file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from runtime.errors import DataError

Rows = dict[str, dict[str, float]]

# The columns of the paper's Tables 1 and 2, and which way is better.
PAPER_COLUMNS = {"lpips": "v", "niqe": "v", "fid": "v", "kid": "v", "psnr": "^", "ssim": "^"}

# Whang et al. 2022, Table 1; KID is times 1000. Set down without the print at hand.
PAPER_ROWS: Rows = {
    "DvSR, paper, GoPro test set": {
        "lpips": 0.059, "niqe": 3.39, "fid": 4.04, "kid": 0.98, "psnr": 31.66, "ssim": 0.948,
    },
    "DvSR-SA, paper, GoPro test set": {
        "lpips": 0.078, "niqe": 4.07, "fid": 17.46, "kid": 8.03, "psnr": 33.23, "ssim": 0.963,
    },
}  # fmt: skip
PAPER_NOTE = (
    "The paper's rows (its Table 1) were measured on other pictures and with another NIQE model, "
    "and have not been compared with the print: check the paper before you cite them."
)


def gather_others(path: Path | None) -> Rows:
    """The paper's rows by name, then those of the CSV file ``path``; raises DataError."""
    return {**PAPER_ROWS, **(read_others(path) if path else {})}


def read_others(path: Path) -> Rows:
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
