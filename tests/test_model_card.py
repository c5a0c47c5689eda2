"""The model card's script, and the card it keeps."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import DataError
from train.measuring.points import CSV, read_points

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "model_card.py"))


def test_a_table_is_replaced_between_its_marks_and_nothing_else(script: dict[str, Any]) -> None:
    text = "before\n<!-- table: a -->\n| old |\n<!-- /table: a -->\nafter\n"
    wanted = "before\n<!-- table: a -->\n| new |\n| row |\n<!-- /table: a -->\nafter\n"
    changed = script["replace_table"](text, "a", ["| new |", "| row |"])
    assert changed == wanted
    assert script["replace_table"](changed, "a", ["| new |", "| row |"]) == wanted


def test_a_card_without_the_marks_of_a_table_is_refused(script: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="no table 'a'"):
        script["replace_table"]("<!-- table: a -->\nno end\n", "a", ["| new |"])


def test_the_cards_tables_are_those_of_the_result_files(script: dict[str, Any]) -> None:
    card = (ROOT / "docs" / "model-card-tiny.md").read_text(encoding="utf-8")
    results = {
        part: json.loads((BENCHMARKS / f"quality-tiny-{part}.json").read_text(encoding="utf-8"))
        for part in ("balanced", "samples", "realtime", "fp16", "fp32", "pictures")
    }
    tables = {
        "quality": script["quality_table"]([results["balanced"], results["samples"]]),
        "natural": script["natural_table"](
            [results[part] for part in ("balanced", "samples", "realtime")]
        ),
        "realtime": script["realtime_table"](results["realtime"], results["samples"]),
        "fp16": script["precision_table"](results["fp16"], results["fp32"]),
        "pictures": script["pictures_table"](results["pictures"]["pictures"]),
        **script["sweep_tables"](read_points(BENCHMARKS / "sweep-tiny" / CSV)),
    }
    for name, lines in tables.items():
        assert script["replace_table"](card, name, lines) == card, name


def test_every_part_has_its_work(script: dict[str, Any]) -> None:
    assert set(script["works"](script["build_parser"]().parse_args(["val"]), "tiny")) == set(
        script["PARTS"]
    )
