from __future__ import annotations

import subprocess
import sys


def test_importing_the_camera_loads_neither_opencv_nor_an_engine() -> None:
    code = "import runtime.camera.__main__, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"cv2", "onnxruntime", "openvino", "torch", "tensorrt", "gi"}
