"""The C++ side has the version of the distribution."""

from __future__ import annotations

from pathlib import Path

from runtime.version import __version__


def test_both_sides_have_one_version() -> None:
    stored = Path(__file__).resolve().parents[2] / "cpp_bindings" / "VERSION"
    assert stored.read_text().strip() == __version__
