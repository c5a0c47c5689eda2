"""``python -m runtime.gpu_check``: every check of the GPU engines that can run here, in one go.

Writes ``gpu-check.json`` and ``gpu-check.md``. On a machine where nothing can be checked it says
what is missing and ends well; a check that fails ends with exit code 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.bench.cases import Plan, Work
from runtime.bench.clock import Record, measure, outside_engine
from runtime.bench.machine import Machine, Software, describe_machine, describe_software
from runtime.bench.pictures import make_pictures
from runtime.bench.quality import IDENTICAL_DB, psnr_db
from runtime.bench.statistics import ratio, spread, summarize
from runtime.bench.subjects import EngineSubject, Options, open_engines
from runtime.bundle import find_bundle
from runtime.command import run_command
from runtime.cuda.array import DeviceArray
from runtime.cuda.driver import CudaDriver, Driver
from runtime.errors import DvsrError, OutputError
from runtime.files import to_json, write_whole
from runtime.session import Session

GPU_ENGINES = ("tensorrt", "tensorrt-rtx", "onnx-cuda", "onnx-tensorrt")
# Those that take pictures from the GPU's memory and leave results there.
TAKE_GPU_ARRAYS = ("tensorrt", "tensorrt-rtx")
REFERENCE = "onnx-cpu"
FAILED = 1

# No side is a multiple of 8, so that padding is checked as well.
_AGREEMENT = Work(width_px=250, height_px=186, steps=4, samples=2, batch=1)
_SIZES_PX = ((1280, 720), (1920, 1080))
_STEPS = (1, 2, 4, 10)
# Share of values within one grey level, and PSNR. GPUs multiply float32 in another order, and
# half has 11 bits.
_TOLERANCES = {"float32": (0.999, 50.0)}
_LOWER_PRECISION = (0.97, 40.0)
_PLAN = Plan(runs=50, seconds=2.0, warm_seconds=20.0, idle_runs=0, cold_runs=0)
_QUICK = Plan(runs=5, seconds=0.2, warm_seconds=5.0, idle_runs=0, cold_runs=0)

Image = NDArray[np.uint8]
Outcome = Literal["passed", "failed", "measured", "not run"]


class Check(msgspec.Struct, frozen=True):
    """One check of one engine; ``figures`` are in the units that their names end in."""

    engine: str
    check: str
    outcome: Outcome
    detail: str
    figures: dict[str, float] = {}


class Report(msgspec.Struct, frozen=True):
    """All checks and their circumstances; ``missing`` says what kept engines from being checked."""

    software: Software
    machine: Machine
    bundle: str
    engines: dict[str, str]
    missing: dict[str, str]
    checks: tuple[Check, ...]

    @property
    def failed(self) -> bool:
        return any(check.outcome == "failed" for check in self.checks)


def check_engines(
    bundle: Path,
    engines: Sequence[str] = GPU_ENGINES,
    *,
    plan: Plan = _PLAN,
    sizes_px: Sequence[tuple[int, int]] = _SIZES_PX,
    steps: Sequence[int] = _STEPS,
) -> Report:
    """Run all checks of all ``engines`` that open here, against the picture of onnx-cpu.

    ``sizes_px`` are (width, height). Raises BundleError, and EngineError where the reference itself
    cannot run.
    """
    opened, missing = open_engines(engines, bundle, Options())
    running = dict(zip([n for n in engines if n not in missing], opened, strict=True))
    checks: list[Check] = []
    if running:
        reference = EngineSubject(REFERENCE, bundle, Options())
        wanted = reference.deblur(_picture(_AGREEMENT), _AGREEMENT)
        reference.close()
        works = [Work(width, height, t, 1, 1) for width, height in sizes_px for t in steps]
        for name, subject in running.items():
            checks.extend(_check_one(name, subject, bundle, wanted, works, plan))
            subject.close()
    return Report(
        software=describe_software(),
        machine=describe_machine(),
        bundle=bundle.resolve().name,
        engines={name: subject.description for name, subject in running.items()},
        missing=missing,
        checks=tuple(checks),
    )


def _check_one(
    name: str,
    subject: EngineSubject,
    bundle: Path,
    wanted: Image,
    works: Sequence[Work],
    plan: Plan,
) -> Iterator[Check]:
    yield _tried(name, f"agreement with {REFERENCE}", lambda: _agreement(subject, wanted))
    if name in TAKE_GPU_ARRAYS:
        check = partial(compare_on_gpu, subject.session, CudaDriver)
        yield _tried(name, "pictures from the GPU's memory and back", check)
    for work in works:
        yield _tried(name, f"latency, {work}", partial(_latency, subject, work, plan))
    if name in GPU_ENGINES:
        for work in works:
            title = f"CUDA graph against none, {work}"
            yield _tried(name, title, partial(_graphs, name, bundle, work, plan))


Finding = tuple[Outcome, str, dict[str, float]]


def _tried(engine: str, check: str, find: Callable[[], Finding]) -> Check:
    """What ``find`` found; an error of the engine fails this check and not those after it."""
    try:
        return Check(engine, check, *find())
    except DvsrError as error:
        return Check(engine, check, "failed", str(error))


def _agreement(subject: EngineSubject, wanted: Image) -> Finding:
    got = subject.deblur(_picture(_AGREEMENT), _AGREEMENT)
    apart = np.abs(got.astype(np.int16) - wanted)
    within, psnr = float((apart <= 1).mean()), min(psnr_db(got, wanted), IDENTICAL_DB)
    share, least_db = _TOLERANCES.get(subject.bundle.manifest.precision, _LOWER_PRECISION)
    return (
        "passed" if within >= share and psnr >= least_db else "failed",
        f"{within:.4%} of the values within one grey level (wanted {share:.1%}), largest "
        f"difference {apart.max()}, {psnr:.1f} dB (wanted {least_db:g})",
        {"within_one_share": within, "largest_levels": float(apart.max()), "psnr_db": psnr},
    )


def compare_on_gpu(session: Session, open_driver: Callable[[], Driver]) -> Finding:
    """A picture that lies on the GPU, and its result there, against the same from the host."""
    image = _picture(_AGREEMENT)
    options = {"steps": _AGREEMENT.steps, "samples": _AGREEMENT.samples}
    wanted = session.deblur(image, **options)  # type: ignore[call-overload]
    with ExitStack() as stack:
        driver = open_driver()
        stack.callback(driver.close)
        source = stack.enter_context(DeviceArray(driver, image))
        target = stack.enter_context(DeviceArray(driver, np.zeros_like(image)))
        session.deblur(source, out=target, **options)  # type: ignore[call-overload]
        apart = np.abs(target.read().astype(np.int16) - wanted)
    same = not apart.any()
    detail = "the same picture as from the host" if same else f"{apart.max()} grey levels apart"
    return "passed" if same else "failed", detail, {"largest_levels": float(apart.max())}


def _latency(subject: EngineSubject, work: Work, plan: Plan) -> Finding:
    ((record,),) = measure([[subject.timed(work)]], plan)
    figures = _figures(record)
    shares = (("overhead_share", "beyond the bare engine"), ("outside_engine_share", "outside it"))
    told = [f"{figures[name]:.1%} {words}" for name, words in shares if name in figures]
    times = f"p50 {figures['p50_ms']:.2f} ms, p99 {figures['p99_ms']:.2f} ms"
    return "measured", ", ".join([times, *told]), figures


def _graphs(name: str, bundle: Path, work: Work, plan: Plan) -> Finding:
    """The same work with and without a CUDA graph, in turns; the pictures must be the same."""
    with ExitStack() as stack:
        subjects = [EngineSubject(name, bundle, Options(graph=mode)) for mode in ("on", "off")]
        for subject in subjects:
            stack.callback(subject.close)
        first, second = (subject.deblur(_picture(work), work) for subject in subjects)
        ((on, off),) = measure([[subject.timed(work) for subject in subjects]], plan)
    times = {"on_ms": summarize(on.times_ms).p50, "off_ms": summarize(off.times_ms).p50}
    gain = ratio(on.rounds_ms, off.rounds_ms)
    assert gain is not None
    if not np.array_equal(first, second):
        return "failed", f"the graph makes another picture ({psnr_db(first, second):.1f} dB)", times
    return (
        "measured",
        f"p50 {times['on_ms']:.2f} ms with, {times['off_ms']:.2f} ms without: {gain.median:.2f} "
        f"times as fast ({gain.low:.2f} to {gain.high:.2f})",
        {**times, "faster_times": gain.median},
    )


def _figures(record: Record) -> dict[str, float]:
    latency, outside = summarize(record.times_ms), outside_engine(record.stages_ms)
    told = {"outside_engine_share": spread(outside).median} if outside else {}
    if record.floors_ms:
        floor = summarize(record.floors_ms).p50
        told |= {"floor_ms": floor, "overhead_share": round(1.0 - floor / latency.p50, 5)}
    return {
        "p50_ms": latency.p50,
        "p90_ms": latency.p90,
        "p99_ms": latency.p99,
        "max_ms": latency.max,
        **told,
    }


def _picture(work: Work) -> Image:
    return make_pictures(work.batch, work.height_px, work.width_px)


def to_markdown(report: Report) -> str:
    """The result for people."""
    software, machine = report.software, report.machine
    gpus = "; ".join(f"{gpu.name}, driver {gpu.driver}" for gpu in machine.gpus)
    libraries = ", ".join(f"{name} {version}" for name, version in software.libraries.items())
    lines = [
        "# GPU check",
        "",
        f"- {software.made_by}, commit {software.commit or 'unknown'}",
        f"- device: {machine.jetson or gpus or 'no GPU that NVML shows'}; {machine.cpu}",
        f"- libraries: {libraries}",
        f"- bundle: {report.bundle}",
        *(f"- {name}: {said}" for name, said in report.engines.items()),
        "",
    ]
    if report.checks:
        lines += ["| engine | check | outcome | detail |", "|---|---|---|---|"]
        lines += [f"| {c.engine} | {c.check} | {c.outcome} | {c.detail} |" for c in report.checks]
    else:
        lines.append("Nothing could be checked.")
    if report.missing:
        lines += ["", "What is missing:", ""]
        lines += [f"- {name}: {' '.join(why.split())}" for name, why in report.missing.items()]
    return "\n".join(lines) + "\n"


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(prog="python -m runtime.gpu_check", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="FOLDER")
    parser.add_argument("--bundle", help="bundle directory, or the name of a shipped bundle")
    parser.add_argument("--engines", nargs="+", default=list(GPU_ENGINES), metavar="ENGINE")
    parser.add_argument("--quick", action="store_true", help="a few runs of each: works or not")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Check, print, write both files; returns 1 where a check failed. Raises DvsrError."""
    folder: Path = arguments.output
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {error.strerror}; name another with -o"
        ) from error
    plan = _QUICK if arguments.quick else _PLAN
    report = check_engines(find_bundle(arguments.bundle), arguments.engines, plan=plan)
    text = to_markdown(report)
    write_whole(folder / "gpu-check.json", to_json(report))
    write_whole(folder / "gpu-check.md", text.encode())
    print(text)
    return FAILED if report.failed else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m runtime.gpu_check", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
