from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.bench.__main__ import main
from runtime.bench.cases import Case
from runtime.bench.cold import measure_cold
from runtime.bench.readme import BEGIN, END, between_markers, readme_table
from runtime.bench.rows import Row, read_files
from runtime.bundle import DEFAULT, find_bundle, open_bundle

REPOSITORY = Path(__file__).resolve().parents[3]


def test_a_row_carries_its_circumstances(rows: list[Row]) -> None:
    row = rows[0]
    assert row.case.bundle == DEFAULT
    assert len(row.case.bundle_sha256) == 64
    assert row.engine.startswith("onnx-cpu (ONNX Runtime ")
    assert row.software.made_by.startswith("dvsr-edge ")
    assert "numpy" in row.software.libraries
    assert row.machine.cores >= 1
    assert row.latency.runs == sum(len(one) for one in row.times_ms) >= row.plan.runs


def test_every_engine_row_has_floor_ratio_stages_and_quality(rows: list[Row]) -> None:
    engines = [row for row in rows if row.case.kind == "engine"]
    assert len(engines) == 6
    for row in engines:
        assert row.floor is not None
        assert len(row.after_idle_ms) == 1
        assert len(row.faster_than) == 1
        assert row.stages_ms["total"] > 0.0
        assert row.quality is not None
        assert row.quality.ssim is not None
        assert row.roof is not None


def test_sizes_take_turns_and_other_work_does_not(rows: list[Row]) -> None:
    works = {
        began: {
            (row.case.work.width_px, row.case.work.steps)
            for row in rows
            if row.turns_began == began
        }
        for began in {row.turns_began for row in rows}
    }
    sizes = (32, 48, 64)
    assert sorted(map(sorted, works.values())) == [[(px, t) for px in sizes] for t in (0, 2)]


def test_a_plain_onnx_loop_makes_the_sessions_picture(rows: list[Row]) -> None:
    peers = [row for row in rows if row.case.kind == "peer"]
    # Above 55 dB hardly a value is off by one grey level.
    assert min(row.agrees_db for row in peers if row.agrees_db is not None) > 55.0


def test_what_is_measured_already_is_not_measured_again(
    results: Path, bench_arguments: Callable[[Path], list[str]]
) -> None:
    before = results.read_bytes()
    assert main(bench_arguments(results)) == 0
    assert results.read_bytes() == before


def test_the_table_line_and_ratio_are_printed(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--from", str(results), "--compare", str(results)]) == 0
    printed = capsys.readouterr().out
    for part in ("p99.9", "times as fast as", "ms per megapixel", "GFLOP/s", "within noise"):
        assert part in printed


def test_the_readme_table_is_made_of_result_files(
    results: Path, rows: list[Row], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--readme-table", str(results)]) == 0
    assert capsys.readouterr().out.strip() == readme_table(rows)


def test_the_readmes_table_is_the_one_its_result_file_makes() -> None:
    readme = REPOSITORY / "README.md"
    written = between_markers(readme.read_text())
    if written is None:
        pytest.skip(f"README.md has no table between {BEGIN} and {END}")
    files = sorted((REPOSITORY / "benchmarks").glob("latency-*.jsonl"))
    assert written == readme_table(read_files(files))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engines", "abacus"], "abacus"),
        (["--sizes", "huge"], "WIDTHxHEIGHT"),
        (["--runs", "0"], "--runs 0"),
        (["--data", "absent"], "absent"),
        (["--from", "absent.jsonl"], "absent.jsonl"),
        (["--bundle", "absent"], "no bundle"),
        (["--out", "absent/rows.jsonl"], "absent"),
        (["--bundle", "tiny", "tiny"], "rename"),
        (["--peers", "torch-eager"], "--checkpoint"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--sizes", "32x32", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_cold_start_is_timed_in_a_fresh_interpreter(rows: list[Row]) -> None:
    case: Case = rows[0].case
    cold, peak_mib = measure_cold(case, find_bundle(None), {"engine": "onnx-cpu"}, 1)
    assert cold is not None
    parts = cold.start_ms + cold.import_ms + cold.open_ms + cold.first_ms
    assert cold.total_ms == pytest.approx(parts, abs=0.1)
    assert min(cold.import_ms, cold.open_ms, cold.first_ms) > 0.0
    assert (
        peak_mib is None or peak_mib > open_bundle().manifest.files["predictor.onnx"].bytes / 2**20
    )
