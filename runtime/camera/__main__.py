"""``python -m runtime.camera``: deblur a camera or a video while it plays."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from runtime.camera.config import POLICIES, CameraConfig
from runtime.camera.pipeline import CameraPipeline
from runtime.camera.statistics import Latency, Summary
from runtime.command import run_command
from runtime.errors import OptionError, OutputError
from runtime.files import to_json, write_whole
from runtime.version import __version__

_QUIET_LINE_S = 10.0
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)")


def parse_budget(text: str) -> float:
    """Milliseconds of "33ms" or "0.1s"; raises OptionError."""
    found = _BUDGET.fullmatch(text.strip())
    if found is None:
        raise OptionError(f"got the budget '{text}'; wanted is a time such as 33ms or 0.1s")
    return float(found[1]) * (1000.0 if found[2] == "s" else 1.0)


def build_parser() -> argparse.ArgumentParser:
    """All options; what is left out is decided by CameraConfig and the bundle's preset."""
    defaults = CameraConfig()
    parser = argparse.ArgumentParser(
        prog="python -m runtime.camera",
        description="Deblur a camera or a video with a DvSR bundle, while it plays.",
        epilog="Examples: python -m runtime.camera 0 -o window --budget 33ms;   "
        "python -m runtime.camera blurred.mp4 -o sharp.mp4",
    )
    add = parser.add_argument
    add(
        "source", metavar="SOURCE", help="camera index, video file, URL, GStreamer pipeline, folder"
    )
    add(
        "-o",
        "--output",
        default="null",
        metavar="SINK",
        help="video file, folder, window, GStreamer "
        "pipeline, or null (default: null, which only measures)",
    )
    add(
        "--budget",
        metavar="TIME",
        help="such as 33ms: choose steps and samples so that 99 of 100 "
        "frames take no longer; --steps and --samples are then upper limits",
    )
    add("--steps", type=int, help="diffusion steps, 0 to 500; 0: predictor alone")
    add("--samples", type=int, help="how many sampled pictures are averaged")
    add("--seed", type=int, default=defaults.seed, help="of the noise, the same for all frames")
    add("--preset", help="a sampling preset of the bundle")
    add("--bundle", help="bundle directory, or the name of a shipped bundle")
    add("--engine", default=defaults.engine, help=f"default: {defaults.engine}")
    add("--memory", type=int, metavar="MIB", help="cut frames into tiles to stay within this")
    add(
        "--policy",
        choices=POLICIES,
        default=defaults.policy,
        help="when deblurring is too slow: "
        "lose frames or wait (default: drop-oldest for live sources, block for files)",
    )
    add("--queue", type=int, metavar="FRAMES", help="room between reading and deblurring")
    add("--fps", type=float, help="frames per second, where the source does not say")
    add("--frames", type=int, metavar="N", help="end after N frames")
    add("--json", metavar="FILE", help="write the summary there; - for standard output")
    add("--version", action="version", version=f"dvsr-edge {__version__}")
    return parser


def to_config(arguments: argparse.Namespace) -> CameraConfig:
    """The parsed options as a CameraConfig; raises OptionError."""
    return CameraConfig(
        bundle=arguments.bundle,
        engine=arguments.engine,
        memory_mib=arguments.memory,
        preset=arguments.preset,
        steps=arguments.steps,
        samples=arguments.samples,
        seed=arguments.seed,
        budget_ms=None if arguments.budget is None else parse_budget(arguments.budget),
        policy=arguments.policy,
        queue_frames=arguments.queue,
        fps=arguments.fps,
        max_frames=arguments.frames,
    )


class Console:
    """Events and the live line on standard error: in place on a terminal, else every 10 s."""

    def __init__(self) -> None:
        self._in_place = sys.stderr.isatty()
        self._line_s = time.monotonic()
        self._open = False

    def say(self, text: str) -> None:
        """One event on a line of its own."""
        print(("\n" if self._open else "") + " ".join(text.split()), file=sys.stderr, flush=True)
        self._open = False

    def live(self, line: str) -> None:
        """The state, over the last one."""
        if self._in_place:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
            self._open = True
        elif time.monotonic() - self._line_s >= _QUIET_LINE_S:
            self._line_s = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Leave the live line standing."""
        if self._open:
            print(file=sys.stderr, flush=True)
            self._open = False


@contextmanager
def stopping_on_signals(pipeline: CameraPipeline) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM drain the pipeline; the second acts as usual."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def stop(_number: int, _frame: FrameType | None) -> None:
        restore()
        pipeline.stop()

    def restore() -> None:
        for number in signals:
            signal.signal(number, before[number])

    for number in signals:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


def describe(summary: Summary) -> str:
    """The summary for people."""
    lines = [
        f"{summary.source} -> {summary.sink}: in {summary.frames_in}, out {summary.frames_out}, "
        f"dropped {summary.frames_dropped}; {summary.seconds:.1f} s, {summary.fps:.1f} fps; "
        f"ended by {summary.ended_by}"
    ]
    lines += _latency("glass to glass", summary.latency_ms)
    lines += _latency("deblurring", summary.deblur_ms)
    if summary.budget_ms is not None:
        plans = ", ".join(f"{plan}: {count}" for plan, count in summary.plans.items())
        lines.append(
            f"budget {summary.budget_ms:g} ms missed by {summary.over_budget} of "
            f"{summary.frames_out} frames; frames by plan: {plans or 'none'}"
        )
    return "\n".join(lines)


def _latency(what: str, ms: Latency | None) -> list[str]:
    if ms is None:
        return []
    return [
        f"{what} ms: p50 {ms.p50:.1f}, p90 {ms.p90:.1f}, p99 {ms.p99:.1f}, max {ms.max:.1f}, "
        f"mean {ms.mean:.1f}"
    ]


def run(arguments: argparse.Namespace) -> None:
    """Run the pipeline and report; raises DvsrError."""
    config = to_config(arguments)
    _check_json(arguments.json)
    console = Console()
    pipeline = CameraPipeline(
        arguments.source, arguments.output, config=config, say=console.say, live=console.live
    )
    try:
        with stopping_on_signals(pipeline):
            summary = pipeline.run()
    finally:
        console.finish()
    if arguments.json == "-":
        print(to_json(summary).decode(), end="")
        return
    print(describe(summary))
    if arguments.json is not None:
        write_whole(Path(arguments.json), to_json(summary))


def _check_json(place: str | None) -> None:
    """Refuse a place now that could not be written after the run."""
    if place not in (None, "-") and not Path(place).parent.is_dir():
        raise OutputError(f"no folder {Path(place).parent} to write {place} into; create it first")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m runtime.camera", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
