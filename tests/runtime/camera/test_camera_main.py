"""The camera's command line; one test runs it in a process of its own and ends it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime import OptionError
from runtime.camera.__main__ import build_parser, main, parse_budget, to_config
from runtime.camera.config import CameraConfig


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A minute of flat frames, 32x24, 10 a second."""
    path = tmp_path / "in.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (32, 24))
    for number in range(600):
        writer.write(np.full((24, 32, 3), number % 256, np.uint8))
    writer.release()
    return path


def test_a_video_is_deblurred_and_accounted_for(
    video: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, report = video.with_name("out.mp4"), video.with_name("report.json")
    options = ["--bundle", str(small_bundle), "--engine", "onnx-cpu", "--steps", "0"]
    options += ["--frames", "5", "--json", str(report)]
    assert main([str(video), "-o", str(target), *options]) == 0
    summary = json.loads(report.read_text())
    assert (summary["frames_in"], summary["frames_out"], summary["frames_dropped"]) == (5, 5, 0)
    assert set(summary["latency_ms"]) == {"p50", "p90", "p99", "max", "mean", "sampled"}
    assert summary["plans"] == {"T=0": 5}
    assert cv2.VideoCapture(str(target)).get(cv2.CAP_PROP_FRAME_COUNT) == 5
    captured = capsys.readouterr()
    assert "in 5, out 5, dropped 0" in captured.out
    assert "onnx-cpu" in captured.err


def test_the_summary_alone_goes_to_standard_output(
    video: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--bundle", str(small_bundle), "--engine", "fake", "--steps", "0"]
    assert main([str(video), *options, "--frames", "2", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["ended_by"] == "limit"


def test_sigterm_ends_the_program_with_a_playable_file(video: Path, small_bundle: Path) -> None:
    target = video.with_name("out.avi")
    command = [sys.executable, "-m", "runtime.camera", str(video), "-o", str(target)]
    # Played at its own speed, the video lasts a minute.
    command += ["--bundle", str(small_bundle), "--engine", "onnx-cpu", "--steps", "0"]
    command += ["--policy", "drop-oldest"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started = time.monotonic()
    while not target.with_name(".out.part.avi").exists() and process.poll() is None:
        assert time.monotonic() - started < 120, "no frame was written"
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "ended by stop" in output
    assert cv2.VideoCapture(str(target)).get(cv2.CAP_PROP_FRAME_COUNT) >= 1


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["gone.mp4"], "gone.mp4"),
        (["bad.mp4"], "bad.mp4 is no video"),
        (["in.avi", "-o", "out.txt"], "out.txt"),
        (["in.avi", "-o", "missing/out.mp4"], "no folder missing"),
        (["in.avi", "--budget", "soon"], "33ms"),
        (["in.avi", "--budget", "0ms"], "above 0"),
        (["in.avi", "--steps", "501"], "0 to 500"),
        (["in.avi", "--engine", "abacus"], "abacus"),
        (["in.avi", "--preset", "none"], "balanced"),
        (["in.avi", "--json", "missing/report.json"], "no folder missing"),
        (["99"], "/dev/video99"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(
    video: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    cause: str,
) -> None:
    monkeypatch.chdir(video.parent)
    Path("bad.mp4").write_bytes(b"no video" * 100)
    assert main(arguments) == 2
    refusal = capfd.readouterr().err.strip().splitlines()[-1]
    assert refusal.startswith("python -m runtime.camera: ")
    assert cause in refusal
    assert not list(video.parent.glob("out*"))


@pytest.mark.parametrize(
    ("text", "budget_ms"), [("33ms", 33.0), ("0.1s", 100.0), ("16.7 ms", 16.7)]
)
def test_a_budget_is_a_time_with_its_unit(text: str, budget_ms: float) -> None:
    assert parse_budget(text) == pytest.approx(budget_ms)


@pytest.mark.parametrize("text", ["33", "-5ms", "ms", "33 minutes"])
def test_a_budget_without_a_unit_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="33ms"):
        parse_budget(text)


def test_the_command_lines_defaults_are_the_configs() -> None:
    assert to_config(build_parser().parse_args(["0"])) == CameraConfig()
