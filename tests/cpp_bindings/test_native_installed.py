"""dvsr-deblur finds what was installed with it, wherever that was moved to."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

BUNDLES = Path(__file__).resolve().parents[2] / "runtime" / "bundles"


@pytest.fixture
def moved(tool: Path, tmp_path: Path) -> Path:
    """Another folder with the tool, its libraries and bundles."""
    built, prefix = tool.parents[1], tmp_path / "moved"
    (prefix / "bin").mkdir(parents=True)
    shutil.copy2(tool, prefix / "bin")
    for library in built.glob("lib*/**/libdvsr*.so*"):
        target = prefix / library.relative_to(built)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(library, target)
    (prefix / "share" / "dvsr").mkdir(parents=True)
    (prefix / "share" / "dvsr" / "bundles").symlink_to(BUNDLES)
    return prefix


def deblur(prefix: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """By its name alone, as a shell calls it, and with the bundle that is shipped."""
    return subprocess.run(
        ["dvsr-deblur", "in.png", "-o", "results/", "--steps", "0"],
        cwd=folder,
        env={"PATH": f"{prefix / 'bin'}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_tool_called_by_its_name_finds_its_parts(
    moved: Path, tmp_path: Path, photograph: NDArray[np.uint8]
) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), photograph[:40, :40])
    done = deblur(moved, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "results" / "in.png").is_file()


def test_a_tool_that_lacks_its_plugin_says_so_on_one_line(
    moved: Path, tmp_path: Path, photograph: NDArray[np.uint8]
) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), photograph[:40, :40])
    plugins = list(moved.glob("lib*/**/libdvsr_pictures-*.so"))
    if not plugins:
        pytest.skip("the tool was built as one program, without a plugin")
    for plugin in plugins:
        plugin.unlink()
    done = deblur(moved, tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "libdvsr_pictures" in done.stderr
    assert done.stderr.endswith("; install dvsr-deblur again, as a whole\n")


def test_a_tool_leaves_no_telemetry_behind(
    moved: Path, tmp_path: Path, photograph: NDArray[np.uint8]
) -> None:
    """ONNX Runtime keeps what it has to report below the home folder."""
    cv2.imwrite(str(tmp_path / "in.png"), photograph[:40, :40])
    home = tmp_path / "home"
    home.mkdir()
    assert deblur(moved, tmp_path, HOME=str(home)).returncode == 0
    assert list(home.rglob("*")) == []
