"""``python -m export.checkpoint``: the weights of a bundle as a checkpoint, to train on from.

Bundles of float32 hold every weight as it was trained, so nothing is lost on the way; optimizers
and the weights before averaging are not in them.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from export.extras import require
from runtime.bundle import Bundle, open_bundle
from runtime.command import Parser, run_command
from runtime.errors import BundleError

if TYPE_CHECKING:
    import onnx
    from torch import Tensor

    from train.checkpoint import Card

_PREFIX = "model."
_LAYERS = ("Conv", "Gemm")


def restore(where: str | Path | None, output: Path) -> None:
    """Write the weights of the bundle ``where`` to ``output``, a checkpoint of ``train``.

    ``where`` is a directory, a shipped bundle's name, or None for the default one. Raises
    MissingExtraError, OutputError, and BundleError for a bundle that cannot be read, is not of
    float32, or was not made of a checkpoint; then nothing is written.
    """
    require("torch", "safetensors", "onnx")
    from train.checkpoint import save_tensors
    from train.network import Model

    bundle = open_bundle(where)
    if bundle.manifest.precision != "float32":
        raise BundleError(
            f"{bundle.directory} is {bundle.manifest.precision}, whose weights are rounded; "
            "wanted is the float32 bundle that it was made beside"
        )
    card = _read_card(bundle)
    found = _read_weights(bundle)
    wanted = Model(card.config.model).state_dict()
    for name, tensor in wanted.items():
        if name not in found or found[name].shape != tensor.shape:
            raise BundleError(
                f"the graphs in {bundle.directory} hold no {name} of shape {tuple(tensor.shape)}; "
                "wanted is a bundle of python -m export.onnx of this version"
            )
    # Names that one stored tensor served get one each.
    save_tensors(output, {name: found[name].clone() for name in wanted}, card)


def _read_card(bundle: Bundle) -> Card:
    from train.checkpoint import FORMAT, Card, Stage
    from train.config import ModelConfig, TrainConfig

    weights = bundle.manifest.weights
    try:
        model = msgspec.convert(weights["model"], ModelConfig)
        stages = msgspec.convert(weights["stages"], tuple[Stage, ...])
    except (KeyError, msgspec.MsgspecError) as error:
        raise BundleError(
            f"{bundle.directory} does not say how its weights were trained ({error}); wanted is a "
            "bundle of python -m export.onnx"
        ) from error
    config = replace(stages[-1].config if stages else TrainConfig(), model=model)
    step = stages[-1].crops // config.batch if stages else 0
    return Card(FORMAT, config, step, stages)


def _read_weights(bundle: Bundle) -> dict[str, Tensor]:
    import onnx

    manifest = bundle.manifest
    weights: dict[str, Tensor] = {}
    for graph in (manifest.predictor, manifest.step):
        weights |= _stored(onnx.load(bundle.path(graph.file)).graph)
    return weights


def _stored(graph: onnx.GraphProto) -> dict[str, Tensor]:
    """Weights of ``graph`` by the names they have in the model.

    Of equal tensors, such as two biases that see the same gradient, a graph stores one, and of
    biases that are zero none: what a layer's node reads tells.
    """
    import torch
    from onnx.numpy_helper import to_array

    stored = {t.name: torch.tensor(to_array(t)) for t in graph.initializer}
    weights = {}
    for node in graph.node:
        layer, _, operator = node.name.rpartition("/")
        if layer.startswith(_PREFIX) and operator.startswith(_LAYERS) and node.input[1] in stored:
            weight = weights[f"{layer}.weight"] = stored[node.input[1]]
            bias = node.input[2] if len(node.input) > 2 else None
            weights[f"{layer}.bias"] = torch.zeros(len(weight)) if bias is None else stored[bias]
    weights |= stored
    return {name.removeprefix(_PREFIX): tensor for name, tensor in weights.items()}


def build_parser() -> argparse.ArgumentParser:
    """All options of the command line."""
    parser = Parser(prog="python -m export.checkpoint", description=__doc__)
    parser.add_argument(
        "bundle",
        nargs="?",
        help="directory of a bundle, or the name of a shipped one (default: the default bundle)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="checkpoint to write (*.safetensors)"
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Write the checkpoint and say so; raises DvsrError."""
    restore(arguments.bundle, arguments.output)
    print(f"wrote {arguments.output}; go on with: python -m train --init {arguments.output}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m export.checkpoint", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
