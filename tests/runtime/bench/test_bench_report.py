"""The report in a real browser: painted, without errors, and without a look outside."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.bench.__main__ import main

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytest.importorskip("matplotlib", reason="the report's plots need the extra 'bench'")
FIGURES = ("latency_distribution", "time_over_pixels", "quality_over_time", "stages")
FIRST_COLOUR = (0xB2, 0x72, 0x00)  # of the plots' palette, as OpenCV orders it


@pytest.fixture(scope="module")
def report(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert main(["--from", str(results), "--compare", str(results), "--html", str(path)]) == 0
    return path


def browse(page: Path, *switches: str) -> subprocess.CompletedProcess[str]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed; type: apt-get install chromium")
    return subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-background-networking", "--hide-scrollbars"),
            *("--enable-logging=stderr", f"--user-data-dir={page.parent / 'profile'}"),
            *switches,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )


@pytest.fixture(scope="module")
def visit(report: Path) -> tuple[str, str, list[dict[str, object]]]:
    """The page as the browser understood it, its log, and what requests it made."""
    log = report.parent / "network.json"
    done = browse(report, "--dump-dom", f"--log-net-log={log}")
    events = json.loads(log.read_text())["events"]
    return done.stdout, done.stderr, [event.get("params", {}) for event in events]


def test_every_plot_is_in_the_page(visit: tuple[str, str, list[dict[str, object]]]) -> None:
    for name in FIGURES:
        assert re.search(rf'<figure id="{name}"><svg [^>]*viewBox', visit[0])


def test_the_browser_reports_no_error(visit: tuple[str, str, list[dict[str, object]]]) -> None:
    assert "CONSOLE" not in visit[1]


def test_the_page_asks_for_nothing_but_itself(
    visit: tuple[str, str, list[dict[str, object]]], report: Path
) -> None:
    asked = {str(params["url"]) for params in visit[2] if "url" in params}
    assert report.as_uri() in asked
    # A page's own requests name it as their initiator; the browser's housekeeping does not.
    mine = {str(p["url"]) for p in visit[2] if str(p.get("initiator", "")).startswith("file:")}
    assert all(url.startswith(("file:", "data:")) for url in mine)


def test_the_page_runs_no_script_and_names_no_file(report: Path) -> None:
    text = report.read_text()
    assert "<script" not in text
    assert not re.search(r"""\b(src|href)=["'](?!#)""", text)
    assert "default-src 'none'" in text


def test_the_plots_are_painted(report: Path) -> None:
    picture = report.parent / "report.png"
    browse(report, f"--screenshot={picture}", "--window-size=1300,4000")
    pixels = cv2.imread(str(picture))
    assert pixels is not None
    blue = np.abs(pixels.astype(int) - FIRST_COLOUR).max(axis=2) < 8
    # Lines, markers and legends in three plots; a stray mark would be some dozens.
    assert blue.sum() > 1000
