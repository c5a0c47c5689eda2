"""bfloat16 graphs on a machine without bfloat16 kernels: the same weights, computed in float32."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from export.layers import GraphEngine, open_graphs
from runtime.bundle import Bundle
from runtime.engines import Engine, open_engine
from runtime.errors import EngineError

WIDENED = "onnx-cpu, widened to float32"


def open_candidate(bundle: Bundle) -> tuple[str, Engine]:
    """The bundle on ONNX Runtime's CPU, and the name of what that is.

    Where it has no kernels for bfloat16, the graphs widened to float32: structure and weights are
    then compared, the rounding of activations is not.
    """
    try:
        return "onnx-cpu", open_engine("onnx-cpu", bundle)
    except EngineError:
        if bundle.manifest.precision != "bfloat16":
            raise
    return WIDENED, open_widened(bundle)


def open_widened(bundle: Bundle) -> GraphEngine:
    """The graphs of ``bundle``, unoptimised, and widened where they are bfloat16."""
    if bundle.manifest.precision != "bfloat16":
        return open_graphs(bundle, "onnx-cpu")
    manifest = bundle.manifest
    predictor, step = (
        widened(onnx.load(bundle.path(graph.file))).SerializeToString()
        for graph in (manifest.predictor, manifest.step)
    )
    return GraphEngine(predictor, step, WIDENED)


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with float32 in place of every bfloat16; each stored number keeps its value."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for tensor in wide.graph.initializer:
        if tensor.data_type == TensorProto.BFLOAT16:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for node in wide.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.BFLOAT16:
                attribute.i = TensorProto.FLOAT
    return wide
