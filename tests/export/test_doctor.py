from __future__ import annotations

import subprocess
import sys

import pytest

from export.doctor import main


def test_the_answer_comes_with_exit_code_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert "GPU" in said
    for name in ("torch", "onnx", "onnxruntime", "tensorrt", "tensorrt-rtx"):
        assert f"\n{name} " in said or f"\n{name}: " in said
    assert "engine onnx-cpu: can run here" in said


def test_what_is_missing_comes_with_the_command_that_gets_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main([])
    for line in capsys.readouterr().out.splitlines():
        if "missing" in line:
            assert "pip install 'dvsr-edge[" in line or "apt-get install" in line


def test_each_target_was_tried_by_building_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    main([])
    said = capsys.readouterr().out
    assert "--target sm86: builds float32 and float16" in said
    # Turing has no float32 matrix product there, and the level embedding is one.
    assert "--target sm75: builds nothing here" in said


def test_it_answers_without_torch_and_without_onnx() -> None:
    hide = "import sys\nfor name in ('torch', 'onnx', 'onnxruntime'): sys.modules[name] = None\n"
    code = f"{hide}from export.doctor import main\nraise SystemExit(main([]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "tensorrt" in done.stdout
