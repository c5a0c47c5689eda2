"""Runs that Polygraphy repeats: what each graph was given, and what the reference made of it.

A device with TensorRT and without PyTorch then holds its own engine against the network with
NVIDIA's own tool, which loads, builds, runs and compares.
"""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from export.extras import require
from export.folders import new_folder
from export.parity import Size, Tolerance, graph_inputs, graph_outputs, round_up
from runtime.bundle import Bundle
from runtime.engines import Engine
from runtime.errors import OptionError
from runtime.plans.shapes import graphs_of


def save_runs(
    folder: Path,
    bundle: Bundle,
    reference: Engine,
    tolerance: Tolerance,
    sizes_px: Sequence[Size],
) -> list[str]:
    """Write inputs and the outputs of ``reference`` at ``sizes_px`` (height, width) to ``folder``.

    One iteration for each size. Returns for each graph the command that compares with TensorRT.
    Raises OutputError where ``folder`` exists or cannot be written, OptionError for int8, and
    MissingExtraError without Polygraphy.
    """
    if tolerance.max_abs is None:
        raise OptionError(
            f"got --save-runs for {bundle.directory}, which is int8: runs are saved on random "
            "numbers, for which int8 promises nothing; save those of a float bundle"
        )
    require("polygraphy")
    json = importlib.import_module("polygraphy.json")
    results = importlib.import_module("polygraphy.comparator").RunResults
    manifest = bundle.manifest
    sizes = dict.fromkeys(round_up(size, manifest.size_multiple_px) for size in sizes_px)
    inputs = [graph_inputs((1, 3, *size), manifest.prediction) for size in sizes]
    outputs = [graph_outputs(reference, given) for given in inputs]
    with new_folder(folder) as beside:
        for graph in graphs_of(manifest):
            run = results()
            run.add([made[graph] for made in outputs], runner_name=reference.name)
            run.save(str(beside / f"{graph}-outputs.json"))
            given = [given[graph] for given in inputs]
            json.save_json(given, str(beside / f"{graph}-inputs.json"))
    return [
        _command(folder, bundle, graph, list(sizes), tolerance.max_abs)
        for graph in graphs_of(manifest)
    ]


def _command(
    folder: Path, bundle: Bundle, graph: str, sizes_px: Sequence[Size], max_abs: float
) -> str:
    """What builds ``graph`` with TensorRT, runs it on the inputs saved, and compares."""
    signature = graphs_of(bundle.manifest)[graph]
    words = ["polygraphy", "run", str(bundle.path(signature.file)), "--trt", "--strongly-typed"]
    words += ["--load-inputs", str(folder / f"{graph}-inputs.json")]
    words += ["--load-outputs", str(folder / f"{graph}-outputs.json")]
    heights, widths = zip(*sizes_px, strict=True)
    corners = {
        "min": (min(heights), min(widths)),
        "opt": sizes_px[0],
        "max": (max(heights), max(widths)),
    }
    pictures = [tensor.name for tensor in signature.inputs if len(tensor.shape) == 4]
    for bound, (height, width) in corners.items():
        words.append(f"--trt-{bound}-shapes")
        words += [f"{name}:[1,3,{height},{width}]" for name in pictures]
    return shlex.join([*words, "--atol", f"{max_abs:g}", "--rtol", "0"])
