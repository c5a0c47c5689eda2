from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from runtime.bench.cases import Plan
from runtime.bench.nvml import open_nvml
from runtime.bundle import find_bundle
from runtime.gpu_check import Report, check_engines, main, to_markdown

PLAN = Plan(runs=2, seconds=0.0, warm_seconds=0.0, idle_runs=0, cold_runs=0, floor_rounds=1)


@pytest.fixture(scope="module")
def report() -> Report:
    """The checks of the reference against itself: what can be run without a GPU."""
    engines = ("onnx-cpu", "abacus")
    return check_engines(find_bundle(None), engines, plan=PLAN, sizes_px=((32, 32),), steps=(1,))


def test_an_engine_that_makes_the_reference_picture_passes(report: Report) -> None:
    assert (report.checks[0].check, report.checks[0].outcome) == (
        "agreement with onnx-cpu",
        "passed",
    )


def test_latency_is_stated_with_its_floor(report: Report) -> None:
    latency = report.checks[1]
    assert latency.outcome == "measured"
    assert latency.figures["p50_ms"] > 0.0
    assert latency.figures["floor_ms"] > 0.0


def test_an_engine_that_does_not_open_is_missing_with_its_reason(report: Report) -> None:
    assert "abacus" in report.missing["abacus"]
    assert not report.failed


def test_the_markdown_names_device_versions_checks_and_what_is_missing(report: Report) -> None:
    text = to_markdown(report)
    for part in ("dvsr-edge", "onnxruntime", "| onnx-cpu |", "What is missing", "abacus"):
        assert part in text


@pytest.mark.skipif(open_nvml() is not None, reason="this machine has an NVIDIA GPU")
def test_without_a_gpu_nothing_is_checked_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made" / "for it"
    assert main(["-o", str(folder)]) == 0
    assert "Nothing could be checked" in capsys.readouterr().out
    written = msgspec.json.decode((folder / "gpu-check.json").read_bytes(), type=Report)
    assert set(written.missing) == {"tensorrt", "tensorrt-rtx", "onnx-cuda", "onnx-tensorrt"}
    assert (folder / "gpu-check.md").read_text().startswith("# GPU check")


def test_a_folder_that_cannot_be_made_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["-o", str(tmp_path / "file" / "folder")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
