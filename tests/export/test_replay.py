from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from export.check import main

pytest.importorskip("polygraphy", reason="polygraphy is not installed")


def replayed(command: str, graph: Path | None = None) -> bool:
    """Have Polygraphy repeat a command that was printed, on ONNX Runtime in place of TensorRT."""
    words = shlex.split(command)
    assert words[:2] == ["polygraphy", "run"]
    runs = [words[index : index + 2] for index, word in enumerate(words) if "--load-" in word]
    bounds = words[words.index("--atol") :]
    options = ["--onnxrt", *(word for pair in runs for word in pair), *bounds]
    program = str(Path(sys.executable).with_name("polygraphy"))
    done = subprocess.run(
        [program, "run", str(graph or words[2]), *options], capture_output=True, timeout=120
    )
    return done.returncode == 0


def test_polygraphy_repeats_what_was_saved_and_notices_another_graph(
    small_bundle: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    options = ("--size", "32x32", "--size", "56x40", "--no-seal", "--save-runs", str(runs))
    assert main([str(small_bundle), "--checkpoint", str(checkpoint), *options]) == 0
    commands = [
        line.strip() for line in capsys.readouterr().out.splitlines() if "polygraphy run" in line
    ]
    assert len(commands) == 2
    assert "z:[1,3,32,32]" in commands[1]
    assert "z:[1,3,40,56]" in commands[1]
    assert all(replayed(command) for command in commands)

    model = onnx.load(small_bundle / "predictor.onnx")
    [head] = [t for t in model.graph.initializer if t.name == "model.predictor.head.weight"]
    head.CopyFrom(onnx.numpy_helper.from_array(1.1 * onnx.numpy_helper.to_array(head), head.name))
    onnx.save(model, tmp_path / "changed.onnx")
    assert not replayed(commands[0], tmp_path / "changed.onnx")


def test_runs_are_not_written_over_what_is_there(
    small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(small_bundle), "--size", "32x32", "--save-runs", str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip()
    assert "exists" in said
    assert len(said.splitlines()) == 1


def test_runs_of_int8_are_refused(
    int8_bundle: Path, small_bundle: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--reference", str(small_bundle), "--pictures", str(photographs))
    assert main([str(int8_bundle), *options, "--save-runs", "runs"]) == 2
    assert "promises nothing" in capsys.readouterr().err
