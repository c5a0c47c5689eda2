"""``python -m export.triton``: a bundle as a model repository of Triton Inference Server."""

from __future__ import annotations

import argparse
import importlib
import shutil
from pathlib import Path
from typing import Any

import msgspec

from export.extras import require
from export.folders import new_folder
from runtime.bundle import Bundle, Graph, open_bundle
from runtime.command import Parser, run_command
from runtime.errors import BundleError, OptionError

CONFIG = "config.pbtxt"
_FUSED_CARD = "fused.json"
_TYPES = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8"}
_KINDS = {"auto": "KIND_AUTO", "cpu": "KIND_CPU", "gpu": "KIND_GPU"}


def write_repository(
    bundle: Bundle,
    repository: Path,
    *,
    device: str = "auto",
    instances: int = 1,
    tensorrt: bool = False,
) -> list[str]:
    """Write one model directory for each graph of ``bundle``; returns their names.

    Models go by the bundle's name, a dash and the graph's. Height and width are free; ``row`` of
    the step serves its whole batch, so Triton's own batching stays off. Raises OutputError where
    ``repository`` exists or cannot be written, MissingExtraError without tritonclient.
    """
    schema, text_format = _messages()
    names = []
    with new_folder(repository) as beside:
        for part, graph in graphs_of(bundle).items():
            config = build_config(
                schema, bundle, part, graph, device=device, instances=instances, tensorrt=tensorrt
            )
            version = beside / config.name / "1"
            version.mkdir(parents=True)
            shutil.copyfile(bundle.path(graph.file), version / "model.onnx")
            (version.parent / CONFIG).write_text(text_format.MessageToString(config))
            names.append(config.name)
    return names


def graphs_of(bundle: Bundle) -> dict[str, Graph]:
    """The graphs of ``bundle`` by their part's name: predictor, step, and fused where it has it."""
    graphs = {"predictor": bundle.manifest.predictor, "step": bundle.manifest.step}
    if _FUSED_CARD in bundle.manifest.files:
        graphs["fused"] = _fused(bundle).graph
    return graphs


class _Fused(msgspec.Struct, frozen=True):
    graph: Graph


def _fused(bundle: Bundle) -> _Fused:
    path = bundle.path(_FUSED_CARD)
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Fused)
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleError(f"{path} cannot be read: {error}; export the bundle again") from error


def build_config(
    schema: Any,
    bundle: Bundle,
    part: str,
    graph: Graph,
    *,
    device: str,
    instances: int,
    tensorrt: bool,
) -> Any:
    """The ModelConfig message of one graph; ``schema`` is tritonclient's ``model_config_pb2``."""
    manifest = bundle.manifest
    config = schema.ModelConfig(
        name=f"{manifest.name}-{part}", platform="onnxruntime_onnx", max_batch_size=0
    )
    for tensors, listed in ((graph.inputs, config.input), (graph.outputs, config.output)):
        for tensor in tensors:
            dims = [side if isinstance(side, int) else -1 for side in tensor.shape]
            kind = schema.DataType.Value(_TYPES[tensor.dtype])
            listed.add(name=tensor.name, data_type=kind, dims=dims)
    group = schema.ModelInstanceGroup
    config.instance_group.add(count=instances, kind=group.Kind.Value(_KINDS[device]))
    if tensorrt:
        accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
        # Strongly typed graphs: the precision stands in them, so none is named here.
        accelerators.add(name="tensorrt")
    facts = {
        "size_multiple_px": manifest.size_multiple_px,
        "value_range": manifest.value_range,
        "precision": manifest.precision,
        "prediction": manifest.prediction,
        "sha256": manifest.files[graph.file].sha256,
    }
    for key, value in facts.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        config.parameters[key].string_value = text
    return config


def _messages() -> tuple[Any, Any]:
    """Triton's published messages and protobuf's text format; raises MissingExtraError."""
    require("tritonclient", "grpc", "google", extra="triton")
    schema = importlib.import_module("tritonclient.grpc.model_config_pb2")
    text_format = importlib.import_module("google.protobuf.text_format")
    return schema, text_format


def build_parser() -> argparse.ArgumentParser:
    """All options of the command line."""
    parser = Parser(prog="python -m export.triton", description=__doc__)
    parser.add_argument("bundle", help="a directory made by python -m export.onnx")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="model repository to write"
    )
    parser.add_argument("--device", choices=_KINDS, default="auto", help="what instances run on")
    parser.add_argument(
        "--instances", type=int, default=1, metavar="N", help="instances of each model (default: 1)"
    )
    parser.add_argument(
        "--tensorrt", action="store_true", help="let ONNX Runtime hand the graphs to TensorRT"
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Write the repository and say what is in it; raises DvsrError."""
    if arguments.instances < 1:
        raise OptionError(f"got --instances {arguments.instances}; wanted is at least 1")
    if arguments.tensorrt and arguments.device == "cpu":
        raise OptionError("got --tensorrt with --device cpu; TensorRT runs on GPUs: leave one out")
    names = write_repository(
        open_bundle(arguments.bundle),
        arguments.output,
        device=arguments.device,
        instances=arguments.instances,
        tensorrt=arguments.tensorrt,
    )
    print(f"wrote {arguments.output}: {', '.join(names)}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m export.triton", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
