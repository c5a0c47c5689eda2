"""The report in a real browser: painted, without errors, and without a look outside."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
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


def browse(page: Path, url: str, *switches: str) -> subprocess.CompletedProcess[str]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed; type: apt-get install chromium")
    return subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            *("--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
            *("--enable-logging=stderr", f"--user-data-dir={page.parent / 'profile'}"),
            *switches,
            url,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )


@dataclass(frozen=True)
class Visit:
    """The page as the browser understood it, the browser's log, and what the page asked for."""

    page: str
    log: str
    asked: set[str]


def visit_page(page: Path) -> Visit:
    """Fetch ``page`` from a server of this machine, so that it has an origin of its own."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(page.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{server.server_port}"
        network = page.parent / "network.json"
        done = browse(page, f"{origin}/{page.name}", "--dump-dom", f"--log-net-log={network}")
        server.shutdown()
    # The browser's own housekeeping has another initiator, or none.
    events = [event.get("params", {}) for event in json.loads(network.read_text())["events"]]
    asked = {str(p["url"]) for p in events if p.get("initiator") == origin and "url" in p}
    # A browser looks for a site's icon by itself, in the name of whatever page it shows.
    return Visit(done.stdout, done.stderr, asked - {f"{origin}/favicon.ico"})


@pytest.fixture(scope="module")
def visit(report: Path) -> Visit:
    return visit_page(report)


def test_every_plot_is_in_the_page(visit: Visit) -> None:
    for name in FIGURES:
        assert re.search(rf'<figure id="{name}"><svg [^>]*viewBox', visit.page)


def test_the_browser_reports_no_error(visit: Visit) -> None:
    assert "CONSOLE" not in visit.log


def test_the_page_asks_for_nothing(visit: Visit) -> None:
    assert not visit.asked


def test_a_page_that_asks_for_something_would_be_caught(report: Path, tmp_path: Path) -> None:
    page = tmp_path / "asking.html"
    page.write_text("<img src='http://elsewhere.invalid/plot.png'>")
    assert visit_page(page).asked == {"http://elsewhere.invalid/plot.png"}


def test_the_page_runs_no_script_and_names_no_file(report: Path) -> None:
    text = report.read_text()
    assert "<script" not in text
    assert not re.search(r"""\b(src|href)=["'](?!#)""", text)
    assert "default-src 'none'" in text


def test_the_plots_are_painted(report: Path) -> None:
    picture = report.parent / "report.png"
    browse(report, report.as_uri(), f"--screenshot={picture}", "--window-size=1300,4000")
    pixels = cv2.imread(str(picture))
    assert pixels is not None
    blue = np.abs(pixels.astype(int) - FIRST_COLOUR).max(axis=2) < 8
    # Lines, markers and legends in three plots; a stray mark would be some dozens.
    assert blue.sum() > 1000
