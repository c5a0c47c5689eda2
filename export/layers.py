"""Inside an ONNX graph: the output of every convolution, on ONNX Runtime's CPU provider.

Polygraphy marks and compares outputs by tensor name, which differs between torch and the precisions
of one network; here layers go by the name of their weights, which does not.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from runtime.bundle import Bundle
from runtime.engines import require
from runtime.errors import EngineError

Floats = NDArray[np.float32]

# The property of a model that says how many times smaller activations before the head are.
SHRINKS = "activations_divided_by"
CONVOLUTIONS = ("Conv", "ConvTranspose")
# Names the bias that quantising took out of a convolution.
BIAS_OUTSIDE = ".bias_outside"
# What wrapping and quantising a network adds to the names of its weights.
_ADDED = re.compile(r"\.weight.*$|(?<=\.)network\.")


class LayerParity(msgspec.Struct, frozen=True):
    """Root mean square of one layer's difference, relative to that of the layer itself."""

    layer: str
    relative: float


class GraphEngine:
    """Two ONNX models behind the engine protocol, by default without any graph optimisation.

    What an optimiser gets wrong shows against this.
    """

    def __init__(
        self, predictor: bytes, step: bytes, name: str, *, optimised: bool = False
    ) -> None:
        self.name = name
        self._models = {"predictor": predictor, "step": step}
        self._sessions = {
            key: open_session(data, optimised=optimised) for key, data in self._models.items()
        }
        self._probes: dict[str, Probe] = {}

    def predict(self, y: Floats) -> Floats:
        return run_session(self._sessions["predictor"], {"y": y})[0]

    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        inputs = {"z": z, "y": y, "noise": noise, "previous": previous, "row": row}
        z_next, residual = run_session(self._sessions["step"], inputs)
        return z_next, residual

    def layers(self, graph: str, inputs: dict[str, Floats]) -> dict[str, Floats]:
        """The output of every convolution of ``graph`` ("predictor" or "step"), in its order.

        Those that were made smaller to stay in half's range come in their own size.
        """
        model = onnx.load_from_string(self._models[graph])
        factor = next((float(p.value) for p in model.metadata_props if p.key == SHRINKS), 1.0)
        outputs = Probe(model, layer_names(model)).outputs(inputs)
        return {
            layer: value if layer.partition("#")[0].endswith(".head") else factor * value
            for layer, value in outputs.items()
        }

    def largest(self, graph: str, inputs: dict[str, Floats]) -> dict[str, float]:
        """The largest magnitude of every convolution and of every sum with it, as computed."""
        if graph not in self._probes:
            model = onnx.load_from_string(self._models[graph])
            self._probes[graph] = Probe(model, {**layer_names(model), **sum_names(model)})
        outputs = self._probes[graph].outputs(inputs)
        return {name: float(np.abs(value).max()) for name, value in outputs.items()}


def open_graphs(bundle: Bundle, name: str) -> GraphEngine:
    """The graphs of ``bundle``, unoptimised."""
    manifest = bundle.manifest
    predictor, step = (
        bundle.path(graph.file).read_bytes() for graph in (manifest.predictor, manifest.step)
    )
    return GraphEngine(predictor, step, name)


def open_session(model: bytes, *, optimised: bool = False) -> Any:
    """An ONNX Runtime session on the CPU; raises EngineError where it refuses the model."""
    require("onnxruntime", "cpu")
    library = importlib.import_module("onnxruntime")
    options = library.SessionOptions()
    options.log_severity_level = 4  # what goes wrong comes back as an exception
    if not optimised:
        # What is only compared and not timed needs no threads that wait busily.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    levels = library.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    )
    try:
        return library.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no narrower base
        raise EngineError(f"ONNX Runtime cannot open the graph: {error}") from error


def run_session(session: Any, inputs: Mapping[str, NDArray[Any]]) -> list[Floats]:
    """All outputs; raises EngineError with the shapes where it fails."""
    try:
        outputs: list[Floats] = session.run(None, inputs)
    except Exception as error:  # as above: memory, shapes and types all come this way
        shapes = ", ".join(f"{name} {value.shape}" for name, value in inputs.items())
        raise EngineError(f"ONNX Runtime failed on {shapes}: {error}") from error
    return outputs


def layer_names(model: onnx.ModelProto) -> dict[str, str]:
    """The output tensor of every convolution, with its layer's name, in the graph's order.

    A layer that runs twice has "#2" behind its name the second time. Where quantising took the
    bias out, the output is that of its addition.
    """
    outside = {_bias_of(node) for node in model.graph.node}
    names: dict[str, str] = {}
    for node in model.graph.node:
        layer = _bias_of(node)
        if node.op_type in CONVOLUTIONS:
            layer = _ADDED.sub("", node.input[1])
            layer = None if layer in outside else layer
        if layer is not None:
            count = sum(known.partition("#")[0] == layer for known in names.values())
            names[node.output[0]] = f"{layer}#{count + 1}" if count else layer
    return names


def _bias_of(node: onnx.NodeProto) -> str | None:
    """The layer whose bias ``node`` adds, where quantising took it out."""
    if node.op_type != "Add" or not node.input[1].endswith(BIAS_OUTSIDE):
        return None
    return _ADDED.sub("", node.input[1].removesuffix(BIAS_OUTSIDE))


def sum_names(model: onnx.ModelProto) -> dict[str, str]:
    """The output tensor of every addition to a convolution's output, named after its layer."""
    layers = layer_names(model)
    return {
        node.output[0]: f"{layers[name]}, summed up"
        for node in model.graph.node
        if node.op_type == "Add"
        for name in node.input
        if name in layers
    }


class Probe:
    """A graph whose outputs are tensors inside it; ``names`` gives each of them a layer's name.

    Raises EngineError where ONNX Runtime refuses it or fails.
    """

    def __init__(self, model: onnx.ModelProto, names: dict[str, str]) -> None:
        probed = onnx.ModelProto()
        probed.CopyFrom(model)
        del probed.graph.output[:]
        probed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        self._session = open_session(probed.SerializeToString())
        self._layers = tuple(names.values())

    def outputs(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        """The tensors by layer, float32."""
        outputs = run_session(self._session, inputs)
        return {
            layer: output.astype(np.float32)
            for layer, output in zip(self._layers, outputs, strict=True)
        }


def compare_layers(wanted: dict[str, Floats], got: dict[str, Floats]) -> list[LayerParity]:
    """The relative error of each layer of ``wanted``, in its order.

    Raises EngineError where a layer is missing: then the two are not the same network.
    """
    missing = [name for name in wanted if name not in got]
    if missing:
        raise EngineError(
            f"the graph has no layer {missing[0]} ({len(missing)} of {len(wanted)} missing): it is "
            "of another network; name the checkpoint or the bundle that it was made of"
        )
    return [LayerParity(name, _relative(value, got[name])) for name, value in wanted.items()]


def _relative(wanted: Floats, got: Floats) -> float:
    apart = float(np.sqrt(np.mean((wanted.astype(np.float64) - got) ** 2)))
    size = float(np.sqrt(np.mean(wanted.astype(np.float64) ** 2)))
    return apart / max(size, float(np.finfo(np.float32).tiny))
