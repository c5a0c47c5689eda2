"""Scores as tables, and the rows of others above them."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import DataError
from train.measuring.others import PAPER_NOTE, PAPER_ROWS, gather_others, read_others
from train.measuring.scores import Score
from train.measuring.tables import to_paper_table

OURS = Score(
    "all", 10, 4, pictures=3, blurred=24.0, deblurred=24.5, gain=0.5, metrics={"ssim": 0.75}
)


def rows_of(table: str) -> dict[str, list[str]]:
    """The cells of each row of a Markdown table, by the first one."""
    lines = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("|")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_rows_of_other_methods_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "others.csv"
    path.write_text("method,psnr,ssim\nfirst,30.5,\n")
    assert read_others(path) == {"first": {"psnr": 30.5}}
    path.write_text("name,psnr\nfirst,30.5\n")
    with pytest.raises(DataError, match="column 'method'"):
        read_others(path)


def test_the_papers_rows_stand_above_ours_as_they_are_quoted() -> None:
    rows = rows_of(to_paper_table([OURS], gather_others(None)))
    assert list(rows) == [
        "", "---", "DvSR, paper, GoPro test set", "DvSR-SA, paper, GoPro test set",
        "sharp originals", "blurred", "ours, 10 x 4",
    ]  # fmt: skip
    assert rows[""] == [
        "LPIPS (lower)", "NIQE (lower)", "FID (lower)", "KID x 1000 (lower)", "PSNR (higher)",
        "SSIM (higher)",
    ]  # fmt: skip
    assert " ".join(rows["DvSR, paper, GoPro test set"]) == "0.059 3.39 4.04 0.98 31.66 0.948"
    assert " ".join(rows["DvSR-SA, paper, GoPro test set"]) == "0.078 4.07 17.46 8.03 33.23 0.963"
    assert rows["ours, 10 x 4"] == [*["not measured"] * 4, "24.500", "0.750"]


def test_under_the_papers_rows_stands_what_they_are_worth() -> None:
    assert to_paper_table([OURS], PAPER_ROWS).splitlines()[-2:] == ["", PAPER_NOTE]


def test_rows_from_a_file_stand_between_the_papers_and_ours(tmp_path: Path) -> None:
    path = tmp_path / "others.csv"
    path.write_text("method,psnr,ssim\nfirst,30.5,\n")
    names = list(rows_of(to_paper_table([OURS], gather_others(path))))
    assert names[4:6] == ["first", "sharp originals"]
