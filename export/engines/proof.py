"""Proof that the engine is of the precision that the bundle states: engines lie about it easily."""

from __future__ import annotations

from collections import Counter

import msgspec
import onnx

from export.engines.library import Built
from runtime.errors import EngineError
from runtime.plans.card import Proof

_CONVOLUTION_TYPES = {
    "float32": {"FLOAT"},
    "float16": {"HALF"},
    "bfloat16": {"BF16"},
    "int8": {"FLOAT", "HALF", "BF16"},  # what is quantized is counted separately
}
# As the layer information of a built engine names the types of weights.
_WEIGHT_TYPES = {"float32": "Float", "float16": "Half", "bfloat16": "BFloat16", "int8": "Int8"}
_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
# A silent change between two precisions is a factor of two either way; padding is a few percent.
_WEIGHTS_LOW, _WEIGHTS_HIGH = 0.75, 1.5
# int8 kernels fill channels up to 16 or 32: half of a narrow network; half precision would be 1.9.
_WEIGHTS_HIGH_INT8 = 1.75


def prove(
    precision: str, graph: bytes, built: Built, weights_bytes: int, *, weights_left_out: bool
) -> Proof:
    """Hold the typed network, the layers and the size against ``precision``; raises EngineError.

    ``weights_bytes`` is the builder's own "Total Weights Memory"; with ``weights_left_out`` the
    sizes prove nothing and are not compared.
    """
    if precision not in _CONVOLUTION_TYPES:
        raise EngineError(
            f"the bundle states the precision '{precision}'; engines can be built of "
            f"{', '.join(_CONVOLUTION_TYPES)}: export it again"
        )
    proof = Proof(
        precision=precision,
        convolutions=built.typed.convolutions,
        quantized=built.typed.quantized,
        graph_weights_bytes=_weights_bytes(graph),
        weights_bytes=weights_bytes,
        plan_bytes=len(built.plan),
        layer_weights=None if built.layers is None else _layer_weights(built.layers),
    )
    _check_network(proof)
    if proof.layer_weights:
        _check_layers(proof)
    elif not weights_left_out:
        _check_sizes(proof)
    return proof


def describe(proof: Proof) -> str:
    """The proof in a few words."""
    count = sum(proof.convolutions.values())
    types = ", ".join(f"{number} in {name}" for name, number in proof.convolutions.items())
    quantized = f", {proof.quantized} of them on int8" if proof.quantized else ""
    layers = proof.layer_weights
    read = "plan not read back: no GPU" if layers is None else f"layers read back: {layers}"
    return (
        f"{proof.precision} proved: {count} convolutions ({types}{quantized}), weights "
        f"{proof.weights_bytes / 2**20:.1f} MiB in the plan and "
        f"{proof.graph_weights_bytes / 2**20:.1f} MiB in the graph; {read}"
    )


def _check_network(proof: Proof) -> None:
    wanted = _CONVOLUTION_TYPES[proof.precision]
    if not proof.convolutions or not set(proof.convolutions) <= wanted:
        raise _failure(proof, f"the network's convolutions are {proof.convolutions or 'none'}")
    if proof.precision == "int8" and not proof.quantized:
        raise _failure(proof, "no convolution of the network takes quantized input")


def _check_layers(proof: Proof) -> None:
    assert proof.layer_weights is not None
    wanted = _WEIGHT_TYPES[proof.precision]
    # The level embedding stays in float32 in every precision: most weights, not all of them.
    share = proof.layer_weights.get(wanted, 0) / sum(proof.layer_weights.values())
    if share < 0.5:
        raise _failure(proof, f"the built layers' weights are {proof.layer_weights}")


def _check_sizes(proof: Proof) -> None:
    if proof.weights_bytes == 0:
        raise _failure(proof, "the builder stated no weights")
    ratio = proof.weights_bytes / max(proof.graph_weights_bytes, 1)
    high = _WEIGHTS_HIGH_INT8 if proof.precision == "int8" else _WEIGHTS_HIGH
    if not _WEIGHTS_LOW <= ratio <= high or proof.plan_bytes < proof.weights_bytes:
        raise _failure(
            proof,
            f"the plan ({proof.plan_bytes} bytes) holds {proof.weights_bytes} bytes of weights, "
            f"the graph {proof.graph_weights_bytes}",
        )


def _failure(proof: Proof, found: str) -> EngineError:
    return EngineError(
        f"the engine is not proved to be {proof.precision}: {found}; it is not kept. "
        "Export the bundle again, or build with another version of the library"
    )


def _weights_bytes(graph: bytes) -> int:
    """Bytes of the floating-point and int8 weights that the graph stores."""
    model = onnx.load_from_string(graph)
    types = {*_FLOATS, onnx.TensorProto.INT8}
    total = 0
    for tensor in model.graph.initializer:
        if tensor.data_type in types:
            count = 1
            for side in tensor.dims:
                count *= side
            total += count * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return total


def _layer_weights(layers: str) -> dict[str, int]:
    """Numbers of weights by data type, from the engine's layer information."""
    counts: Counter[str] = Counter()
    entries = msgspec.json.decode(layers).get("Layers", [])
    for entry in entries:
        weights = entry.get("Weights") if isinstance(entry, dict) else None
        if isinstance(weights, dict) and "Type" in weights:
            counts[str(weights["Type"])] += int(weights.get("Count", 0))
    return dict(counts)
