"""What the C++ side costs beside Python's: its loop, and the way to the first picture.

Run from the repository's root, with the C++ side built::

    PYTHONPATH=. python cpp_bindings/scripts/measure.py loop -o benchmarks/native-loop.json
    PYTHONPATH=. python cpp_bindings/scripts/measure.py cold -o benchmarks/native-cold.json

Everything compared takes turns, so that what else the machine does hits all alike. CPU times are
those of all threads, with their waiting for work.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from runtime.bench.machine import describe_machine, describe_software, load_1min
from runtime.bench.pictures import make_pictures
from runtime.bundle import MANIFEST, Bundle, open_bundle, sha256
from runtime.engines.onnx import CPU, open_graph
from runtime.files import to_json, write_whole
from runtime.session import Session
from runtime.tiles import available_bytes, portion_that_fits

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "cpp_bindings" / "build" / "release" / "bin"

Times = dict[str, list[float]]


def build_parser() -> argparse.ArgumentParser:
    """What is measured, on what, and where the result goes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("loop", "cold"))
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--bundle", help="default: the shipped one")
    parser.add_argument("--preset", help="default: the bundle's")
    parser.add_argument("--side", type=int, default=256, help="height and width in pixels")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument(
        "--builds",
        type=int,
        default=4,
        help="loop: how often everything is opened anew, %(default)s times in equal shares of the "
        "rounds: where weights come to lie in memory moves the times of one opening by percents",
    )
    parser.add_argument(
        "--built", type=Path, default=BUILT, help="folder of dvsr-deblur and dvsr_fresh"
    )
    return parser


def main() -> None:
    """Measure, print the medians, and write everything."""
    arguments = build_parser().parse_args()
    bundle = open_bundle(arguments.bundle)
    measure = {"loop": measure_loop, "cold": measure_cold}[arguments.what]
    load = load_1min()
    times = measure(bundle, arguments)
    medians = {name: round(float(np.median(each)), 3) for name, each in times.items()}
    for name, median in medians.items():
        print(f"{name:24} {median:10.3f} ms")
    ratios = ratios_of_rounds(times)
    for name, each in ratios.items():
        print(f"{name:48} {each['p50']:.3f} ({each['p25']:.3f} to {each['p75']:.3f})")
    result = {
        "what": arguments.what,
        "bundle": bundle.manifest.name,
        "bundle_sha256": sha256(bundle.path(MANIFEST).read_bytes()),
        "preset": arguments.preset or bundle.manifest.default_preset,
        "side_px": arguments.side,
        "rounds": arguments.rounds,
        "builds": arguments.builds if arguments.what == "loop" else None,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_1min": load,
        "software": describe_software(),
        "machine": describe_machine(),
        "p50_ms": medians,
        "ratios": ratios,
        "times_ms": {name: [round(t, 3) for t in each] for name, each in times.items()},
    }
    write_whole(arguments.output, to_json(msgspec.to_builtins(result)))


def measure_loop(bundle: Bundle, arguments: argparse.Namespace) -> Times:
    """Milliseconds of one call in C++ and in Python, and of nothing but the graphs they run."""
    picture = make_pictures(1, arguments.side, arguments.side)
    options = {} if arguments.preset is None else {"preset": arguments.preset}
    times: Times = {}
    for _ in range(arguments.builds):
        with Session(bundle.directory, engine="onnx-cpu") as python:
            calls = {
                "c++": native_call(bundle, arguments, picture),
                "python": lambda: python.deblur(picture, **options),
                "onnx runtime calls": graphs_alone(bundle, arguments),
            }
            for name, each in alternate(calls, arguments.rounds // arguments.builds).items():
                times.setdefault(name, []).extend(each)
    return times


def ratios_of_rounds(times: Times) -> dict[str, dict[str, float]]:
    """Quartiles of the ratios of the wall times of one round, of each thing to the next ones."""
    names = [name for name in times if not name.endswith(", CPU")]
    pairs = [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]
    return {
        f"{one} / {other}": {
            f"p{percent}": round(
                float(np.percentile(np.divide(times[one], times[other]), percent)), 4
            )
            for percent in (25, 50, 75)
        }
        for one, other in pairs
    }


def native_call(
    bundle: Bundle, arguments: argparse.Namespace, picture: np.ndarray
) -> Callable[[], None]:
    """One call through the C header, into an array of its own."""
    sys.path.insert(0, str(ROOT / "tests" / "cpp_bindings"))
    from native_library import FROM_PRESET, Library, Options, Picture

    functions = ctypes.CDLL(str(next(arguments.built.parent.glob("lib*/**/libdvsr.so"))))
    session = Library(functions).open(bundle.directory)
    blurred = np.ascontiguousarray(picture).reshape(arguments.side, arguments.side, 3)
    sharp = np.empty_like(blurred)
    size = (arguments.side, arguments.side, 3, 0)
    images = [
        Picture(ctypes.sizeof(Picture), image.ctypes.data, *size) for image in (blurred, sharp)
    ]
    preset = None if arguments.preset is None else arguments.preset.encode()
    options = Options(ctypes.sizeof(Options), FROM_PRESET, FROM_PRESET, 0, preset)

    def call(_kept: object = (session, blurred, sharp)) -> None:
        source, target = map(ctypes.byref, images)
        status = functions.dvsr_deblur(session.handle, source, ctypes.byref(options), target, None)
        if status != 0:
            raise RuntimeError(functions.dvsr_last_error().decode())

    return call


def graphs_alone(bundle: Bundle, arguments: argparse.Namespace) -> Callable[[], None]:
    """The predictor, and every step for as many samples at once as both runtimes take.

    The arrays are bound beforehand.
    """
    chosen, manifest = bundle.preset(arguments.preset), bundle.manifest
    row = chosen.table.rows[0].astype(np.float32)
    sizes = batches(bundle, chosen.samples, arguments.side)
    predictor, step = (
        open_graph(onnxruntime, bundle.path(graph.file), [CPU])
        for graph in (manifest.predictor, manifest.step)
    )

    def bound(session: Any, count: int, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Any:
        shape = (count, 3, arguments.side, arguments.side)
        random = np.random.default_rng(0).standard_normal(shape, np.float32)
        binding = session.io_binding()
        for name in inputs:
            value = row if name == "row" else random
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
        for name in outputs:
            target = onnxruntime.OrtValue.ortvalue_from_numpy(np.empty_like(random))
            binding.bind_ortvalue_output(name, target)
        return binding

    guess = bound(predictor, 1, ("y",), ("guess",))
    inputs, outputs = ("z", "y", "noise", "previous", "row"), ("z_next", "residual")
    steps = {size: bound(step, size, inputs, outputs) for size in set(sizes)}

    def call() -> None:
        predictor.run_with_iobinding(guess)
        for size in sizes:
            for _ in chosen.table.rows:
                step.run_with_iobinding(steps[size])

    return call


def batches(bundle: Bundle, samples: int, side_px: int) -> list[int]:
    """The samples of one picture in the batches that the free memory allows, as in a session."""
    tiling, multiple_px = bundle.manifest.tiling, bundle.manifest.size_multiple_px
    if tiling.working_bytes_per_px is None:
        return [1] * samples
    portion = portion_that_fits(
        available_bytes(),
        1,
        samples,
        side_px,
        side_px,
        bytes_per_px=tiling.working_bytes_per_px,
        multiple_px=multiple_px,
    )
    return [min(portion.samples, samples - first) for first in range(0, samples, portion.samples)]


def alternate(calls: dict[str, Callable[[], object]], rounds: int) -> Times:
    """Milliseconds of each, in rounds that begin with another one each time."""
    times: Times = {name: [] for call in calls for name in (call, f"{call}, CPU")}
    names = list(calls)
    for _ in range(2):  # caches and clocks settle
        for call in calls.values():
            call()
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            time.sleep(0.05)  # the threads of the one before still spin for a moment
            began, used = time.perf_counter(), time.process_time()
            calls[name]()
            times[name].append(1000.0 * (time.perf_counter() - began))
            times[f"{name}, CPU"].append(1000.0 * (time.process_time() - used))
    return times


def measure_cold(bundle: Bundle, arguments: argparse.Namespace) -> Times:
    """Wall and CPU milliseconds of processes that deblur one picture, disk caches warm.

    The libraries deblur one that is in memory, the tools a file.
    """
    import cv2

    preset = arguments.preset or bundle.manifest.default_preset
    picture = make_pictures(1, arguments.side, arguments.side)
    times: Times = {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.png"), Path(folder, "out.png")
        cv2.imwrite(str(source), picture.reshape(arguments.side, arguments.side, 3))
        options = [str(source), "-o", str(target), "--bundle", str(bundle.directory)]
        options += ["--engine", "onnx-cpu", "--preset"]
        options += [preset]
        request = {
            "open": {"bundle": str(bundle.directory), "engine": "onnx-cpu"},
            "call": {"preset": preset},
            "batch": 1,
            "height_px": arguments.side,
            "width_px": arguments.side,
        }
        fresh = [sys.executable, "-m", "runtime.bench.fresh", json.dumps(request), "0"]
        commands = {
            "c++ library": [
                str(arguments.built / "dvsr_fresh"),
                str(bundle.directory),
                preset,
                str(arguments.side),
            ],
            "python library": fresh,
            "c++ tool": [str(arguments.built / "dvsr-deblur"), *options],
            "python tool": [sys.executable, "-m", "runtime", *options],
        }
        for turn in range(-1, arguments.rounds):
            for name, command in commands.items():
                wall, cpu = one_process(command)
                if turn >= 0:
                    times.setdefault(name, []).append(wall)
                    times.setdefault(f"{name}, CPU", []).append(cpu)
    return times


def one_process(command: list[str]) -> tuple[float, float]:
    """Milliseconds of wall time and of CPU time, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(  # noqa: S603 (our own programs, no shell)
        command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT, env=dict(os.environ)
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000.0 * wall, 1000.0 * cpu


if __name__ == "__main__":
    main()
