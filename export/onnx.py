"""``python -m export.onnx``: turn a checkpoint into a bundle of ONNX graphs, proved right."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from export.config import LARGEST_FUSED_STEPS, OPSETS, PRECISIONS, ExportConfig
from export.extras import TRACING, require
from export.parity import Parity, describe, describe_sampler
from runtime.command import Parser, run_command

if TYPE_CHECKING:
    from export.exporter import Exported

_DEFAULT = ExportConfig()


def export(checkpoint: Path, output: Path, config: ExportConfig = _DEFAULT) -> Parity:
    """Export ``checkpoint`` to the bundle ``output`` and return how far its graphs are off.

    Raises MissingExtraError, CheckpointError, DataError, and BundleError where the output cannot
    be written or a graph misses its tolerance; then nothing is written.
    """
    return _export(checkpoint, output, config).parity


def _export(checkpoint: Path, output: Path, config: ExportConfig) -> Exported:
    require(*TRACING)
    from export.exporter import export_bundle

    return export_bundle(checkpoint, output, config)


def build_parser() -> argparse.ArgumentParser:
    """All options of the command line."""
    parser = Parser(prog="python -m export.onnx", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a model.safetensors of python -m train")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="bundle directory to write"
    )
    parser.add_argument(
        "--opset",
        type=int,
        choices=OPSETS,
        metavar=f"{OPSETS[0]}..{OPSETS[-1]}",
        help="operator set of the graphs (default: the lowest one that has the precision)",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="what the networks compute in; inputs, outputs and the sampler's update stay fp32",
    )
    parser.add_argument(
        "--fused",
        type=int,
        metavar="T",
        help="also the whole pipeline in one graph, uint8 in and out, with T steps "
        f"(1 to {LARGEST_FUSED_STEPS}) of the default preset's sampler",
    )
    parser.add_argument(
        "--with-torch",
        action="store_true",
        help="also programs for the runtime's engine torch, which is slower: the reference",
    )
    parser.add_argument(
        "--guess-level",
        type=float,
        default=_DEFAULT.guess_level,
        metavar="LEVEL",
        help="log-SNR at which the presets balanced, distortion and realtime begin with the "
        "predictor's guess; the higher, the closer samples stay to it "
        f"(default: {_DEFAULT.guess_level:g})",
    )
    _add_int8(parser)
    return parser


def _add_int8(parser: argparse.ArgumentParser) -> None:
    int8 = parser.add_argument_group("for --precision int8")
    int8.add_argument(
        "--calibration",
        type=Path,
        metavar="FOLDER",
        help="real pictures to calibrate on, blurred as those that will be deblurred",
    )
    int8.add_argument(
        "--calibration-pictures",
        type=int,
        default=_DEFAULT.pictures,
        metavar="N",
        help=f"how many of them (default: {_DEFAULT.pictures})",
    )
    int8.add_argument(
        "--calibration-seconds",
        type=float,
        default=_DEFAULT.calibration_seconds,
        metavar="S",
        help=f"stop calibrating then (default: {_DEFAULT.calibration_seconds:.0f})",
    )
    int8.add_argument(
        "--least-db",
        type=float,
        default=_DEFAULT.least_db,
        metavar="DB",
        help="PSNR that whole samplers must keep against fp32; layers are left in float until they "
        f"do (default: {_DEFAULT.least_db:.0f})",
    )


def read_config(arguments: argparse.Namespace) -> ExportConfig:
    """The command line as one value; raises OptionError."""
    return ExportConfig(
        precision=PRECISIONS[arguments.precision],
        opset=arguments.opset,
        fused_steps=arguments.fused,
        programs=arguments.with_torch,
        guess_level=arguments.guess_level,
        calibration=arguments.calibration,
        pictures=arguments.calibration_pictures,
        calibration_seconds=arguments.calibration_seconds,
        least_db=arguments.least_db,
    )


def run(arguments: argparse.Namespace) -> None:
    """Export and say how far the graphs are from the network; raises DvsrError."""
    exported = _export(arguments.checkpoint, arguments.output, read_config(arguments))
    if exported.int8 is not None:
        for line in exported.int8.lines():
            print(line)
    parity = exported.parity
    print(f"graphs on {exported.engine} against torch: at most {describe(parity.graphs)}")
    for entry in (*parity.samplers, *([exported.fused] if exported.fused else [])):
        print(describe_sampler(entry))
    print(f"wrote {arguments.output}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m export.onnx", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
