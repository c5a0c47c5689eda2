"""The two graphs of a bundle, traced from the network: predictor, and one step of the sampler."""

from __future__ import annotations

import ast
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from export.config import OPSETS
from export.layers import SHRINKS
from export.precision import TypedNetwork
from runtime.bundle import Graph
from runtime.bundle import Tensor as Signature
from runtime.samplers import COLUMNS
from train.network import Model

# Where the exporter notes the modules around an operation.
_SCOPES = "pkg.torch.onnx.name_scopes"


class PredictorGraph(nn.Module):
    """``y`` (N, 3, H, W) to ``guess``, of the same shape."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, y: Tensor) -> Tensor:
        return self.model.predict(y)


class StepGraph(nn.Module):
    """One row of a sampler table: the denoiser and the update, so that an engine can fuse them.

    ``row`` is (7,), in the order of ``runtime.samplers.COLUMNS``; the rest is (N, 3, H, W).
    Returns the next ``z`` and the estimate of the residual that it was made of.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, z: Tensor, y: Tensor, noise: Tensor, previous: Tensor, row: Tensor
    ) -> tuple[Tensor, Tensor]:
        # One level serves the whole batch: the embedding is computed once and broadcast.
        level, from_z, from_output, keep, take, take_previous, fresh = row.unbind()
        output = self.model.denoise(y, z, level[None])
        residual = from_z * z + from_output * output
        z_next = keep * z + take * residual + take_previous * previous + fresh * noise
        return z_next, residual


@dataclass(frozen=True)
class TracedGraph:
    """An ONNX model with the signature that goes into the manifest."""

    model: onnx.ModelProto
    signature: Graph


def trace_predictor(model: Model, opset: int = OPSETS.start) -> TracedGraph:
    """Trace g; batch, height and width stay free."""
    traced = _trace(
        PredictorGraph(model), model.size_multiple_px, "predictor.onnx", ("y",), ("guess",), opset
    )
    return _stating_shrinks(traced, model.predictor)


def trace_step(model: Model, opset: int = OPSETS.start) -> TracedGraph:
    """Trace one sampler step; batch, height and width stay free."""
    inputs = ("z", "y", "noise", "previous", "row")
    traced = _trace(
        StepGraph(model),
        model.size_multiple_px,
        "denoiser_step.onnx",
        inputs,
        ("z_next", "residual"),
        opset,
    )
    return _stating_shrinks(traced, model.denoiser)


def free_picture(multiple_px: int) -> tuple[Tensor, dict[int, Any]]:
    """A picture (N, 3, H, W) to trace with, and its dimensions that stay free, by their index."""
    # The size rule becomes part of the exported shapes: 8 * rows, 8 * columns.
    rows, columns = torch.export.Dim("rows", min=1), torch.export.Dim("columns", min=1)
    batch = torch.export.Dim("batch", min=1)
    free = {0: batch, 2: multiple_px * rows, 3: multiple_px * columns}
    # Neither 0 nor 1 in any free dimension: torch would take those for constants.
    return torch.zeros(2, 3, 3 * multiple_px, 4 * multiple_px), free


def _stating_shrinks(traced: TracedGraph, network: nn.Module | None) -> TracedGraph:
    """With what was done to the activations of ``network`` among the model's properties."""
    if isinstance(network, TypedNetwork) and network.shrinks != 1.0:
        onnx.helper.set_model_props(traced.model, {SHRINKS: f"{network.shrinks:g}"})
    return traced


def _trace(
    module: nn.Module,
    multiple_px: int,
    file: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    opset: int,
) -> TracedGraph:
    example, free = free_picture(multiple_px)
    examples = {name: torch.clone(example) for name in inputs}
    shapes: dict[str, Any] = dict.fromkeys(inputs, free)
    if "row" in inputs:
        examples["row"] = torch.zeros(len(COLUMNS))
        shapes["row"] = None
    with _quiet_exporter():
        program = torch.onnx.export(
            module.eval(),
            tuple(examples[name] for name in inputs),
            dynamo=True,
            opset_version=opset,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    proto.graph.name = Path(file).stem
    _name_nodes(proto.graph)
    _remove_traces(proto)
    onnx.checker.check_model(proto, full_check=True)
    signature = Graph(file, _signatures(proto.graph.input), _signatures(proto.graph.output))
    return TracedGraph(proto, signature)


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Name nodes after the module that they belong to, as weights are, for who reads the graph."""
    seen: Counter[str] = Counter()
    for node in graph.node:
        stated = {entry.key: entry.value for entry in node.metadata_props}
        # The last scope is the operation itself; what belongs to no module is the graph's.
        scopes = ast.literal_eval(stated.get(_SCOPES, "[]"))[:-1]
        name = f"{next((scope for scope in reversed(scopes) if scope), graph.name)}/{node.op_type}"
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"


def _remove_traces(proto: onnx.ModelProto) -> None:
    """Drop what the exporter notes of the Python source: paths and stacks, half of a small file."""
    del proto.metadata_props[:]
    graph = proto.graph
    for entry in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del entry.metadata_props[:]
        entry.doc_string = ""
    del graph.value_info[:]


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter warns of its own deprecations; what concerns the model it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        yield


def _signatures(values: Sequence[onnx.ValueInfoProto]) -> tuple[Signature, ...]:
    return tuple(_signature(value) for value in values)


def _signature(value: onnx.ValueInfoProto) -> Signature:
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    shape = tuple(dim.dim_param or dim.dim_value for dim in tensor.shape.dim)
    return Signature(value.name, dtype, shape)
