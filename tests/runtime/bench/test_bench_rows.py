from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from runtime.bench.rows import FORMAT, Row, append_row, read_rows
from runtime.errors import OptionError, OutputError


def test_what_is_written_is_read_again(rows: list[Row], tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    for row in rows:
        append_row(out, row)
    assert read_rows(out) == rows


def test_a_torn_last_line_is_dropped_and_measured_again(rows: list[Row], tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    append_row(out, rows[0])
    with out.open("ab") as file:
        file.write(msgspec.json.encode(rows[1])[:100])
    assert read_rows(out) == rows[:1]
    append_row(out, rows[1])
    assert read_rows(out) == rows[:2]


def test_of_two_rows_with_one_key_the_later_counts(rows: list[Row], tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    again = msgspec.structs.replace(rows[0], measured_at="2030-01-01T00:00:00+00:00")
    for row in (rows[0], rows[1], again):
        append_row(out, row)
    assert {row.measured_at for row in read_rows(out) if row.key == again.key} == {
        again.measured_at
    }


def test_another_commit_is_another_measurement(rows: list[Row]) -> None:
    software = msgspec.structs.replace(rows[0].software, commit="0" * 40)
    assert msgspec.structs.replace(rows[0], software=software).key != rows[0].key


def test_a_row_of_a_newer_version_says_so(rows: list[Row], tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    append_row(out, msgspec.structs.replace(rows[0], format=FORMAT + 1))
    with pytest.raises(OptionError, match="newer dvsr-edge"):
        read_rows(out)


def test_a_file_of_something_else_is_refused_with_its_line(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    out.write_text('{"p50": 1}\n')
    with pytest.raises(OptionError, match="line 1"):
        read_rows(out)


def test_a_place_that_cannot_be_written_is_an_output_error(rows: list[Row], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--out"):
        append_row(tmp_path / "absent" / "rows.jsonl", rows[0])
