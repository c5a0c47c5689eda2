"""``python -m export.onnx``: turn a checkpoint into a bundle of ONNX graphs, proved right."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import onnx
import torch

from export.bundle import to_report, write_bundle
from export.footprint import working_bytes_per_px
from export.graphs import OPSET, TracedGraph, trace_predictor, trace_step
from export.parity import TOLERANCES, Parity, TorchEngine, compare, describe
from export.precision import PRECISIONS, in_precision
from export.presets import DEFAULT_PRESET, compile_presets
from runtime.bundle import FORMAT, REPORT, Manifest, Tables, Tiling, open_bundle
from runtime.command import run_command
from runtime.engines import open_engine
from runtime.errors import BundleError
from runtime.samplers import COLUMNS
from runtime.version import __version__
from train.checkpoint import Card, load_model
from train.network import Model


def export(
    checkpoint: Path, output: Path, *, opset: int = OPSET, precision: str = "float32"
) -> Parity:
    """Export ``checkpoint`` to the bundle ``output`` and return how far its graphs are off.

    ``precision`` is what the U-Nets compute in: float32 or float16.

    Raises CheckpointError, and BundleError where the output cannot be written or a graph misses
    its tolerance; then nothing is written.
    """
    model, card = load_model(checkpoint)
    typed = in_precision(model, precision)
    predictor, step = trace_predictor(typed, opset), trace_step(typed, opset)
    manifest = describe_bundle(output.name, model, card, predictor, step, opset, precision)
    tables = Tables(COLUMNS, compile_presets(card.config.model.prediction))
    proved: list[Parity] = []

    def prove(directory: Path, manifest: Manifest) -> tuple[Manifest, dict[str, bytes]]:
        proved.append(check_bundle(model, directory))
        report = to_report({"onnx-cpu": proved[0], "versions": _versions()})
        return _with_footprint(manifest, directory), {REPORT: report}

    files = {graph.signature.file: graph.model.SerializeToString() for graph in (predictor, step)}
    write_bundle(output, manifest, tables, files, prove)
    return proved[0]


def describe_bundle(
    name: str,
    model: Model,
    card: Card,
    predictor: TracedGraph,
    step: TracedGraph,
    opset: int,
    precision: str = "float32",
) -> Manifest:
    """The manifest, but for the list of files."""
    return Manifest(
        format=FORMAT,
        name=name,
        made_by=f"dvsr-edge {__version__}",
        prediction=card.config.model.prediction,
        precision=precision,
        opset=opset,
        size_multiple_px=model.size_multiple_px,
        value_range=(-1.0, 1.0),
        predictor=predictor.signature,
        step=step.signature,
        default_preset=DEFAULT_PRESET,
        tiling=Tiling(receptive_radius_px=model.receptive_radius_px),
        weights={
            "model": msgspec.to_builtins(card.config.model),
            "stages": msgspec.to_builtins(card.stages),
        },
        files={},
    )


def check_bundle(model: Model, directory: Path) -> Parity:
    """Compare the bundle in ``directory`` with ``model``; raises BundleError where it is off."""
    bundle = open_bundle(directory)
    candidate = open_engine("onnx-cpu", bundle)
    parity = compare(
        TorchEngine(model), candidate, bundle.manifest.prediction, model.size_multiple_px
    )
    failures = parity.failures(TOLERANCES[bundle.manifest.precision])
    if failures:
        raise BundleError(f"the exported graphs are not the network: {'; '.join(failures)}")
    return parity


def _with_footprint(manifest: Manifest, directory: Path) -> Manifest:
    tiling = msgspec.structs.replace(
        manifest.tiling, working_bytes_per_px=working_bytes_per_px(directory)
    )
    return msgspec.structs.replace(manifest, tiling=tiling)


def _versions() -> dict[str, str]:
    import onnxruntime

    return {
        "dvsr-edge": __version__,
        "torch": str(torch.__version__),
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def build_parser() -> argparse.ArgumentParser:
    """All options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m export.onnx", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a model.safetensors of python -m train")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="bundle directory to write"
    )
    parser.add_argument("--opset", type=int, choices=range(18, 22), default=OPSET, metavar="18..21")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="what the networks compute in; inputs, outputs and the sampler's update stay fp32",
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Export and say how far the graphs are from the network; raises DvsrError."""
    parity = export(
        arguments.checkpoint,
        arguments.output,
        opset=arguments.opset,
        precision=PRECISIONS[arguments.precision],
    )
    print(f"graphs against torch: at most {describe(parity.graphs)}")
    for entry in parity.samplers:
        print(
            f"{entry.method}, {entry.steps} steps: {entry.within_one_grey_level:.4%} of pixels "
            f"within one grey level, at most {entry.max_grey_levels} apart, {entry.psnr_db:.1f} dB"
        )
    print(f"wrote {arguments.output}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m export.onnx", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
