"""The model card's script, and the card it keeps."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from runtime.bundle import DEFAULT
from runtime.errors import DataError

ROOT = Path(__file__).resolve().parents[1]


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


SHIPPED = sorted(folder.name for folder in (ROOT / "runtime" / "bundles").iterdir())


def assert_tables_stand(script: dict[str, Any], page: Path, tables: dict[str, list[str]]) -> None:
    text = page.read_text(encoding="utf-8")
    for name, lines in tables.items():
        assert script["replace_table"](text, name, lines) == text, name


@pytest.mark.parametrize("name", SHIPPED)
def test_the_tables_of_a_card_are_those_of_the_result_files(
    script: dict[str, Any], name: str
) -> None:
    page = ROOT / "docs" / f"model-card-{name}.md"
    assert_tables_stand(script, page, script["card_tables"](name))


def test_the_tables_of_the_readme_are_those_of_the_default_bundle(script: dict[str, Any]) -> None:
    assert_tables_stand(script, ROOT / "README.md", script["readme_tables"](DEFAULT))


def test_every_part_has_its_work(script: dict[str, Any]) -> None:
    assert set(script["works"](script["build_parser"]().parse_args(["val"]), "tiny")) == set(
        script["PARTS"]
    )
