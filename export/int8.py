"""The int8 export: calibrate, find what each layer costs, quantise as much as the bound allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from tqdm import tqdm

from export.activations import step_inputs
from export.calibration import read_crops
from export.config import ExportConfig
from export.graphs import TracedGraph
from export.layers import GraphEngine
from export.parity import ANCESTRAL, MULTISTEP, deblur, psnr_db, round_up
from export.presets import DEFAULT_PRESET, compile_presets
from export.quantize import Inputs, Ranges, calibrate, layer_scales, prepare, quantise
from export.sensitivity import LayerCost, layer_costs
from runtime.engines import Engine
from runtime.errors import BundleError, DataError
from runtime.images import to_model
from runtime.samplers import Table, compile_table
from train.network import Model

Image = NDArray[np.uint8]
Models = dict[str, onnx.ModelProto]
Pictures = tuple[list[Image], list[Image]]

SAMPLERS = (ANCESTRAL, MULTISTEP)
_CROP_PX = 128
_COST_PX = 64
_HELD_OUT = 2
_TIMED_PX = 256
_TIMED_SECONDS = 10.0
_ROUNDS = (2, 15)
# What the bound is missed by on other pictures than the held-out ones.
_MARGIN_DB = 0.5


class Int8Report(msgspec.Struct, frozen=True):
    """What int8 costs and gains.

    ``pictures`` were calibrated on with ``runs`` of the step; ``held_out_db`` are the PSNRs of
    whole samplers against float32 on pictures that were not. ``milliseconds`` are the fastest of
    alternating runs of predictor and step at ``timed_px`` squared, float32 first (other load on a
    machine only ever adds), and ``speedup`` is that of a whole sampler of ``steps`` steps.
    """

    pictures: int
    runs: int
    layers: tuple[LayerCost, ...]
    in_float: tuple[str, ...]
    held_out_db: dict[str, tuple[float, ...]]
    steps: int
    timed_px: int
    milliseconds: dict[str, tuple[float, float]]
    speedup: float

    def lines(self) -> list[str]:
        """The report for people."""
        worst = ", ".join(f"{entry.layer} {entry.psnr_db:.1f} dB" for entry in self.layers[:3])
        times = ", ".join(
            f"{name} {full:.1f} -> {quantised:.1f} ms"
            for name, (full, quantised) in self.milliseconds.items()
        )
        return [
            f"int8: calibrated on {self.pictures} pictures, {self.runs} sampler steps",
            f"most sensitive layers, each quantised alone: {worst}",
            f"left in float: {len(self.in_float)} of {len(self.layers)} layers",
            "whole samplers against float32 on held-out pictures: "
            + ", ".join(f"{name} {min(each):.1f} dB" for name, each in self.held_out_db.items()),
            f"ONNX Runtime at {self.timed_px}x{self.timed_px}, the fastest of alternating runs: "
            f"{times}; {self.speedup:.2f} times as fast",
        ]


@dataclass(frozen=True)
class Quantised:
    """Both graphs in int8, the report, and the pictures that they were judged by."""

    predictor: TracedGraph
    step: TracedGraph
    report: Int8Report
    held_out: list[Image]


@dataclass(frozen=True)
class _Search:
    """What a trial needs: the float graphs, their ranges, and pictures to judge by."""

    models: Models
    ranges: dict[str, Ranges]
    tables: dict[str, Table]
    held_out: Sequence[Image]
    wanted: dict[str, list[Image]]

    def quantised(self, in_float: Sequence[str]) -> Models:
        return {
            name: quantise(model, self.ranges[name], in_float)
            for name, model in self.models.items()
        }

    def judge(self, models: Models) -> dict[str, tuple[float, ...]]:
        """PSNR against float32 by sampler, picture by picture."""
        got = _deblurred(_engine(models), self.tables, self.held_out)
        return {
            name: tuple(psnr_db(*pair) for pair in zip(self.wanted[name], pictures, strict=True))
            for name, pictures in got.items()
        }


def _deblurred(
    engine: Engine, tables: dict[str, Table], images: Sequence[Image]
) -> dict[str, list[Image]]:
    return {
        name: [deblur(engine, table, image, seed) for seed, image in enumerate(images)]
        for name, table in tables.items()
    }


def to_int8(
    model: Model,
    predictor: TracedGraph,
    step: TracedGraph,
    config: ExportConfig,
    pictures: Pictures,
) -> Quantised:
    """Both graphs quantised, and the report.

    Raises BundleError where the bound cannot be held with half of the layers in int8.
    """
    calibrated, held_out = pictures
    full = {"predictor": predictor.model, "step": step.model}
    models = {name: prepare(graph) for name, graph in full.items()}
    engine = _engine(models)
    presets = compile_presets(model.config.prediction, config.guess_level)
    table = presets[DEFAULT_PRESET].table
    inputs = _inputs(engine, model, table, calibrated)
    with tqdm(
        total=sum(map(len, inputs.values())), desc="calibrate", leave=False, disable=None
    ) as bar:
        found = {
            name: calibrate(models[name], given, config.calibration_seconds / 2, bar.update)
            for name, given in inputs.items()
        }
    ranges = {name: entry[0] for name, entry in found.items()}
    costs = _costs(model, models, ranges, inputs, table.steps)
    tables = {
        DEFAULT_PRESET: table,
        **{f"{c.method} from noise": compile_table(c, model.config.prediction) for c in SAMPLERS},
    }
    wanted = _deblurred(engine, tables, held_out)
    search = _Search(models, ranges, tables, held_out, wanted)
    in_float, quantised, held_out_db = _leave_the_worst(search, costs, config.least_db)
    milliseconds = _race(full, quantised, model, inputs["step"][0]["row"])
    report = Int8Report(
        pictures=len(calibrated),
        runs=found["step"][1],
        layers=tuple(costs),
        in_float=tuple(in_float),
        held_out_db=held_out_db,
        steps=table.steps,
        timed_px=_crop_px(_TIMED_PX, model),
        milliseconds=milliseconds,
        speedup=_speedup(milliseconds, table.steps),
    )
    return Quantised(
        TracedGraph(quantised["predictor"], predictor.signature),
        TracedGraph(quantised["step"], step.signature),
        report,
        held_out,
    )


def read_pictures(model: Model, config: ExportConfig) -> Pictures:
    """Crops to calibrate on, and others to judge by; raises DataError where there are too few."""
    assert config.calibration is not None
    side = _crop_px(_CROP_PX, model)
    crops = read_crops(config.calibration, side, config.pictures + _HELD_OUT)
    if len(crops) <= _HELD_OUT:
        raise DataError(
            f"{config.calibration} has {len(crops)} pictures that can be used; wanted are at least "
            f"{_HELD_OUT + 1}, {_HELD_OUT} of them to judge by"
        )
    # Of pictures spread over the folder, those in the middle of the first and second half.
    judges = {len(crops) // 4, (3 * len(crops)) // 4}
    return (
        [crop for index, crop in enumerate(crops) if index not in judges],
        [crop for index, crop in enumerate(crops) if index in judges],
    )


def _crop_px(side_px: int, model: Model) -> int:
    return round_up((side_px, side_px), model.size_multiple_px)[0]


def _inputs(
    engine: Engine, model: Model, table: Table, images: Sequence[Image]
) -> dict[str, list[Inputs]]:
    """What both graphs are given while ``images`` are deblurred, at every noise level.

    The first picture also goes through the paper's schedule, which starts from pure noise.
    """
    paper = compile_table(ANCESTRAL, model.config.prediction)
    steps = step_inputs(engine, paper, images[0], seed=0)
    for seed, image in enumerate(images):
        steps += step_inputs(engine, table, image, seed)
    return {"predictor": [{"y": to_model(image)} for image in images], "step": steps}


def _costs(
    model: Model,
    models: Models,
    ranges: dict[str, Ranges],
    inputs: dict[str, list[Inputs]],
    sampler_steps: int,
) -> list[LayerCost]:
    """What each layer costs when it alone is quantised, the most expensive one first."""
    steps, noisiest = inputs["step"], -sampler_steps
    side = _crop_px(_COST_PX, model)
    few = {
        # The last picture, and of its levels the noisiest and the cleanest.
        "predictor": [_cut(inputs["predictor"][-1], side)],
        "step": [_cut(steps[noisiest], side), _cut(steps[-1], side)],
    }
    scales = {name: layer_scales(models[name], ranges[name]) for name in models}
    with tqdm(
        total=sum(map(len, scales.values())), desc="sensitivity", leave=False, disable=None
    ) as bar:
        costs = [
            cost
            for name in models
            for cost in layer_costs(model, name, scales[name], few[name], bar.update)
        ]
    return sorted(costs, key=lambda cost: cost.psnr_db)


def _cut(inputs: Inputs, side_px: int) -> Inputs:
    """The upper left corner of every picture; what is no picture stays as it is."""
    return {
        name: value[..., :side_px, :side_px].copy() if value.ndim == 4 else value
        for name, value in inputs.items()
    }


def _leave_the_worst(
    search: _Search, costs: Sequence[LayerCost], least_db: float
) -> tuple[list[str], Models, dict[str, tuple[float, ...]]]:
    """As few layers in float as the bound allows, in powers of two; raises BundleError."""
    count, best = 0, -np.inf
    while count <= len(costs) // 2:
        in_float = [cost.layer for cost in costs[:count]]
        models = search.quantised(in_float)
        held = search.judge(models)
        worst = min(min(each) for each in held.values())
        best = max(best, worst)
        if worst >= least_db + _MARGIN_DB:
            return in_float, models, held
        count = max(1, 2 * count)
    raise BundleError(
        f"int8 keeps {best:.1f} dB against float32 with half of the layers left in float; wanted "
        f"are {least_db + _MARGIN_DB:.1f}: ask for less with --least-db, or export fp16"
    )


def _engine(models: Models) -> GraphEngine:
    predictor, step = (models[name].SerializeToString() for name in ("predictor", "step"))
    return GraphEngine(predictor, step, "ONNX Runtime", optimised=True)


def _race(
    full: Models, quantised: Models, model: Model, row: NDArray[np.float32]
) -> dict[str, tuple[float, float]]:
    """Milliseconds of float32 and int8, run by turns, predictor and step."""
    side = _crop_px(_TIMED_PX, model)
    x = np.linspace(-1.0, 1.0, 3 * side * side, dtype=np.float32).reshape(1, 3, side, side)
    engines = (_engine(full), _engine(quantised))
    return {
        "predictor": _fastest([partial(engine.predict, x) for engine in engines]),
        "step": _fastest([partial(engine.step, x, x, x, x, row) for engine in engines]),
    }


def _fastest(pair: Sequence[Callable[[], object]]) -> tuple[float, float]:
    """Milliseconds of two calls by turns; the first round warms up and does not count."""
    taken: list[tuple[float, float]] = []
    began = time.monotonic()
    while len(taken) <= _ROUNDS[0] or (
        len(taken) <= _ROUNDS[1] and time.monotonic() - began < _TIMED_SECONDS
    ):
        first, second = (_milliseconds(call) for call in pair)
        taken.append((first, second))
    first, second = np.min(taken[1:], axis=0)
    return float(first), float(second)


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1000.0 * (time.perf_counter() - began)


def _speedup(milliseconds: dict[str, tuple[float, float]], steps: int) -> float:
    full, quantised = (
        milliseconds["predictor"][k] + steps * milliseconds["step"][k] for k in (0, 1)
    )
    return full / quantised
