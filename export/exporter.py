"""From a checkpoint to a bundle: trace, type or quantise, fuse, compare, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import onnx
import torch

from export.bundle import check_target, to_report, write_bundle
from export.config import ExportConfig
from export.footprint import working_bytes_per_px
from export.fused import CARD, FILE, Fused, compare_fused, fuse
from export.graphs import TracedGraph, trace_predictor, trace_step
from export.int8 import Int8Report, read_pictures, to_int8
from export.parity import TOLERANCES, Image, Parity, SamplerParity, compare
from export.precision import in_precision
from export.presets import DEFAULT_PRESET, compile_presets
from export.program import PROGRAMS, export_programs
from export.reference import TorchEngine
from export.widened import open_candidate
from runtime.bundle import FORMAT, REPORT, Bundle, Manifest, Tables, Tiling, open_bundle
from runtime.errors import BundleError
from runtime.files import to_json
from runtime.samplers import COLUMNS, Table, compile_table, with_steps
from runtime.version import __version__
from train.checkpoint import Card, load_model
from train.network import Model


@dataclass(frozen=True)
class Exported:
    """What an export measured; ``fused`` and ``int8`` only where they were asked for."""

    engine: str
    parity: Parity
    fused: SamplerParity | None
    int8: Int8Report | None


def export_bundle(checkpoint: Path, output: Path, config: ExportConfig) -> Exported:
    """Export ``checkpoint`` to the bundle ``output`` and return how far its graphs are off.

    Raises CheckpointError, DataError for calibration pictures that cannot be used, and BundleError
    where the output cannot be written or a graph misses its tolerance; then nothing is written.
    """
    model, card = load_model(checkpoint)
    # Before the minutes of tracing: what doesn't do is an error of the command line.
    check_target(output)
    pictures = read_pictures(model, config) if config.precision == "int8" else None
    typed = in_precision(model, config.precision)
    opset = config.chosen_opset
    predictor, step = trace_predictor(typed, opset), trace_step(typed, opset)
    quantised = None
    if pictures is not None:
        quantised = to_int8(model, predictor, step, config, pictures)
        predictor, step = quantised.predictor, quantised.step
    manifest = describe_bundle(output.name, model, card, predictor, step, config)
    files = {graph.signature.file: graph.model.SerializeToString() for graph in (predictor, step)}
    if config.programs:
        files |= export_programs(model)
        manifest = msgspec.structs.replace(manifest, programs=PROGRAMS)
    table = _fused_table(config, card)
    if table is not None:
        files |= _fused(predictor, step, table, manifest, config)
    exported: list[Exported] = []

    def prove(directory: Path, manifest: Manifest) -> tuple[Manifest, dict[str, bytes]]:
        images = [] if quantised is None else quantised.held_out
        name, parity = check_bundle(model, directory, images)
        fused = check_fused(open_bundle(directory))
        int8 = None if quantised is None else quantised.report
        exported.append(Exported(name, parity, fused, int8))
        report = {name: parity, "versions": _versions()}
        report |= {} if fused is None else {"fused": fused}
        report |= {} if int8 is None else {"int8": int8}
        return _with_footprint(manifest, directory, name), {REPORT: to_report(report)}

    presets = compile_presets(card.config.model.prediction, config.guess_level)
    tables = Tables(COLUMNS, presets)
    write_bundle(output, manifest, tables, files, prove)
    return exported[0]


def describe_bundle(
    name: str,
    model: Model,
    card: Card,
    predictor: TracedGraph,
    step: TracedGraph,
    config: ExportConfig,
) -> Manifest:
    """The manifest, but for the list of files."""
    return Manifest(
        format=FORMAT,
        name=name,
        made_by=f"dvsr-edge {__version__}",
        prediction=card.config.model.prediction,
        precision=config.precision,
        opset=config.chosen_opset,
        size_multiple_px=model.size_multiple_px,
        value_range=(-1.0, 1.0),
        predictor=predictor.signature,
        step=step.signature,
        default_preset=DEFAULT_PRESET,
        tiling=Tiling(receptive_radius_px=model.receptive_radius_px),
        weights={
            "model": msgspec.to_builtins(card.config.model),
            "stages": msgspec.to_builtins(card.stages),
            "hours": round(sum(stage.seconds for stage in card.stages) / 3600, 2),
        },
        files={},
    )


def check_bundle(model: Model, directory: Path, images: Sequence[Image] = ()) -> tuple[str, Parity]:
    """Compare the bundle in ``directory`` with ``model``; raises BundleError where it is off.

    Samplers run on ``images``, or on made-up ones. Returns with it what ran the graphs.
    """
    bundle = open_bundle(directory)
    name, candidate = open_candidate(bundle)
    parity = compare(
        TorchEngine(model),
        candidate,
        bundle.manifest.prediction,
        model.size_multiple_px,
        images=images,
    )
    failures = parity.failures(TOLERANCES[bundle.manifest.precision])
    if failures:
        raise BundleError(f"the exported graphs are not the network: {'; '.join(failures)}")
    return name, parity


def _fused_table(config: ExportConfig, card: Card) -> Table | None:
    if config.fused_steps is None:
        return None
    presets = compile_presets(card.config.model.prediction, config.guess_level)
    sampler = with_steps(presets[DEFAULT_PRESET].sampler, config.fused_steps)
    return compile_table(sampler, card.config.model.prediction)


def _fused(
    predictor: TracedGraph,
    step: TracedGraph,
    table: Table,
    manifest: Manifest,
    config: ExportConfig,
) -> dict[str, bytes]:
    """The fused graph and its card."""
    model, signature = fuse(predictor.model, step.model, table, manifest.size_multiple_px)
    presets = compile_presets(manifest.prediction, config.guess_level)
    sampler = with_steps(presets[DEFAULT_PRESET].sampler, table.steps)
    card = Fused(signature, manifest.size_multiple_px, config.precision, sampler)
    return {FILE: model.SerializeToString(), CARD: to_json(card)}


def check_fused(bundle: Bundle) -> SamplerParity | None:
    """Hold the fused graph, if there is one, against the loop; raises BundleError where off."""
    entry = compare_fused(bundle)
    tolerance = TOLERANCES[bundle.manifest.precision]
    if entry is not None and (failures := Parity((), (entry,)).failures(tolerance)):
        raise BundleError(f"the fused graph is not the runtime's loop: {'; '.join(failures)}")
    return entry


def _with_footprint(manifest: Manifest, directory: Path, engine: str) -> Manifest:
    # What ONNX Runtime cannot run takes no memory there that could be measured.
    measured = working_bytes_per_px(directory) if engine == "onnx-cpu" else None
    tiling = msgspec.structs.replace(manifest.tiling, working_bytes_per_px=measured)
    return msgspec.structs.replace(manifest, tiling=tiling)


def _versions() -> dict[str, str]:
    import onnxruntime

    return {
        "dvsr-edge": __version__,
        "torch": str(torch.__version__),
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
