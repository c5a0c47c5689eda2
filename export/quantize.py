"""int8 as Q/DQ graphs: calibrated on real pictures, the layers that cost most left in float.

Weights are quantised per channel, activations per tensor, both symmetrically, as TensorRT wants
them; biases stay in float, which TensorRT wants too and ONNX Runtime quantises by itself.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    create_calibrator,
)
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from export.layers import BIAS_OUTSIDE
from runtime.errors import OutputError

Floats = NDArray[np.float32]
Inputs = dict[str, Floats]

QUANTISED = ("Conv",)


class Ranges:
    """The smallest and largest value of every tensor that a quantised layer reads or writes."""

    def __init__(self, found: Any) -> None:
        self.found = found

    def scale(self, tensor: str) -> float:
        """The step of a symmetric int8 quantisation of ``tensor``."""
        low, high = self.found[tensor].range_value
        return max(abs(float(np.min(low))), abs(float(np.max(high))), 1e-8) / 127.0


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
    """Hands out inputs until they or the time are used up; the first one always."""

    def __init__(self, inputs: Iterable[Inputs], deadline: float, advance: Callable[[], object]):
        self._inputs = iter(inputs)
        self._deadline = deadline
        self._advance = advance
        self.count = 0

    def get_next(self) -> Inputs | None:
        if self.count and time.monotonic() > self._deadline:
            return None
        given = next(self._inputs, None)
        if given is not None:
            self.count += 1
            self._advance()
        return given


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with every convolution's input and output a tensor that nothing else reads.

    Only what a convolution reads and writes is to be quantised, not the stream of residuals beside
    it; and ONNX Runtime runs a convolution in int8 only where the quantised output has one reader.
    So an input with other readers gets a name of its own, and of a convolution whose output has
    several the bias becomes an addition, which is that one reader.
    """
    prepared = copy.deepcopy(model)
    readers = Counter(name for node in prepared.graph.node for name in node.input)
    biases = {tensor.name: tensor for tensor in prepared.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in prepared.graph.node:
        if node.op_type not in QUANTISED:
            nodes.append(node)
            continue
        if readers[node.input[0]] > 1:
            own = f"{node.name}/input"
            nodes.append(onnx.helper.make_node("Identity", [node.input[0]], [own], name=own))
            node.input[0] = own
        nodes.append(node)
        if readers[node.output[0]] > 1 and len(node.input) == 3:
            nodes.append(_bias_outside(node, biases[node.input.pop()], prepared.graph))
    del prepared.graph.node[:]
    prepared.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    stored = [tensor for tensor in prepared.graph.initializer if tensor.name in read]
    del prepared.graph.initializer[:]
    prepared.graph.initializer.extend(stored)
    return prepared


def _bias_outside(
    node: onnx.NodeProto, bias: onnx.TensorProto, graph: onnx.GraphProto
) -> onnx.NodeProto:
    """The addition of ``bias`` that takes over the output of ``node``."""
    shaped = onnx.numpy_helper.to_array(bias).reshape(1, -1, 1, 1)
    name = f"{node.input[1].removesuffix('.weight')}{BIAS_OUTSIDE}"
    if all(tensor.name != name for tensor in graph.initializer):
        graph.initializer.append(onnx.numpy_helper.from_array(shaped, name))
    total = node.output[0]
    node.output[0] = f"{node.name}/output"
    return onnx.helper.make_node("Add", [node.output[0], name], [total], name=f"{node.name}/bias")


def calibrate(
    model: onnx.ModelProto,
    inputs: Sequence[Inputs],
    seconds: float,
    advance: Callable[[], object] = lambda: None,
) -> tuple[Ranges, int]:
    """Run ``model`` on ``inputs`` for ``seconds`` at most; the ranges, and how many were run.

    Raises OutputError where there is no room for the temporary graph that the library wants.
    """
    if not _is_quantisable(model):
        return Ranges({}), 0
    reader = _Reader(inputs, time.monotonic() + seconds, advance)
    try:
        with tempfile.TemporaryDirectory() as directory:
            return _calibrate(model, Path(directory) / "model.onnx", reader), reader.count
    except OSError as error:
        raise OutputError(
            f"cannot write the graph to calibrate into {tempfile.gettempdir()}: "
            f"{error.strerror or error}; make room there, or name another folder with TMPDIR"
        ) from error


def _calibrate(model: onnx.ModelProto, path: Path, reader: _Reader) -> Ranges:
    path.write_bytes(model.SerializeToString())
    calibrator = create_calibrator(
        path,
        list(QUANTISED),
        augmented_model_path=str(path.with_name("augmented.onnx")),
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"symmetric": True},
    )
    calibrator.collect_data(reader)
    return Ranges(calibrator.compute_data())


def quantise(model: onnx.ModelProto, ranges: Ranges, in_float: Collection[str]) -> onnx.ModelProto:
    """``model`` with Q/DQ around its convolutions, but for the layers named in ``in_float``."""
    if not _is_quantisable(model):
        return model
    left_out = [
        node.name
        for node in model.graph.node
        if node.op_type in QUANTISED and weights_name(node) in in_float
    ]
    quantizer = QDQQuantizer(
        copy.deepcopy(model),
        True,  # weights per channel
        False,  # no reduced range
        QuantType.QInt8,
        QuantType.QInt8,
        ranges.found,
        [],
        left_out,
        list(QUANTISED),
        {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantised: onnx.ModelProto = quantizer.model.model
    del quantised.graph.value_info[:]
    onnx.checker.check_model(quantised, full_check=True)
    return quantised


def _is_quantisable(model: onnx.ModelProto) -> bool:
    """Whether there is any layer to quantise: the preset "direct" has no network as predictor."""
    return any(node.op_type in QUANTISED for node in model.graph.node)


def layer_scales(model: onnx.ModelProto, ranges: Ranges) -> dict[str, tuple[float, float]]:
    """The steps of input and output of each layer that can be quantised, in the graph's order."""
    scales: dict[str, tuple[float, float]] = {}
    for node in model.graph.node:
        if node.op_type in QUANTISED:
            layer = weights_name(node)
            new = (ranges.scale(node.input[0]), ranges.scale(node.output[0]))
            old = scales.get(layer, (0.0, 0.0))
            scales[layer] = (max(new[0], old[0]), max(new[1], old[1]))
    return scales


def weights_name(node: onnx.NodeProto) -> str:
    """The layer of a convolution, a torch module's name: what runs twice has one."""
    return node.input[1].removesuffix(".weight")
