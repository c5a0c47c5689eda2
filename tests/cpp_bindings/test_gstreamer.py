"""The element dvsrdeblur in a pipeline of the command line, where it was built."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from native_library import Library
from numpy.typing import NDArray

BUILD = Path(__file__).resolve().parents[2] / "cpp_bindings" / "build" / "release"
SOURCE = "videotestsrc num-buffers=2 pattern=ball ! video/x-raw,format=RGB,width=64,height=48"


@pytest.fixture
def plugins() -> Path:
    found = sorted(BUILD.glob("lib*/**/gstreamer-1.0/libgstdvsr.so"))
    if not found or shutil.which("gst-launch-1.0") is None:
        pytest.skip("the element dvsrdeblur is not built, or gst-launch-1.0 is not installed")
    return found[0].parent


def frames(plugins: Path, folder: Path, pipeline: str) -> NDArray[np.uint8]:
    """What ``pipeline`` puts out, uint8 RGB (frames, 48, 64, 3)."""
    target = folder / "frames.rgb"
    environment = {
        **os.environ,
        "GST_PLUGIN_PATH": str(plugins),
        "GST_REGISTRY": str(folder / "registry.bin"),
    }
    command = ["gst-launch-1.0", "-q", *pipeline.split(), "!", "filesink", f"location={target}"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return np.fromfile(target, np.uint8).reshape(-1, 48, 64, 3)


def test_a_pipeline_puts_out_the_pictures_of_the_library(
    plugins: Path, library: Library, small_bundle: Path, tmp_path: Path
) -> None:
    element = f"dvsrdeblur bundle={small_bundle} preset=realtime seed=3 qos=false"
    before = frames(plugins, tmp_path, SOURCE)
    after = frames(plugins, tmp_path, f"{SOURCE} ! {element}")
    assert len(after) == 2
    with library.open(small_bundle) as session:
        for blurred, sharp in zip(before, after, strict=True):
            expected, _ = session.deblur(blurred, preset="realtime", seed=3)
            np.testing.assert_array_equal(sharp, expected)
