"""Scores as tables, and the rows of others beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import DataError
from train.measuring.tables import read_others


def test_rows_of_other_methods_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "others.csv"
    path.write_text("method,psnr,ssim\nfirst,30.5,\n")
    assert read_others(path) == {"first": {"psnr": 30.5}}
    path.write_text("name,psnr\nfirst,30.5\n")
    with pytest.raises(DataError, match="column 'method'"):
        read_others(path)
