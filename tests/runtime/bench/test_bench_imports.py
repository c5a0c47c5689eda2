from __future__ import annotations

import subprocess
import sys


def test_the_benchmark_and_the_gpu_check_load_nothing_heavy_before_they_are_told_to() -> None:
    code = (
        "import runtime.bench.__main__, runtime.gpu_check, sys\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    heavy = {"torch", "train", "export", "onnx", "onnxruntime", "openvino", "matplotlib", "cv2"}
    assert not heavy & set(done.stdout.split())
