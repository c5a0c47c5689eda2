"""How much arithmetic the work is, and how much of it this device can do in a second.

Both need ``onnx``: the first reads the bundle's graphs, the second writes one large convolution.
"""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.bench.cases import Work
from runtime.bench.rows import Roof
from runtime.bundle import Bundle, Graph, Tensor

# Large enough to fill a server GPU, small enough for a tenth of a second on two cores.
_CHANNELS, _SIDE_PX, _OPSET = 128, 192, 18
_PEAK_SECONDS, _PEAK_CALLS = 1.0, 3
_COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_COUNTED_CELLS = 4  # the lowest level of the network then has 4x4 values
_TYPES = {"float32": 1, "float16": 10}  # onnx.TensorProto's numbers

# By words of an engine's own description: the library that runs the convolution it is held against.
# ONNX Runtime's CPU has no convolution in bfloat16; OpenVINO takes one where the processor has it.
_PEAKS = (
    ("bfloat16, channels last, cpu", "openvino"),
    ("openvino", "openvino"),
    ("tensorrt", "CUDAExecutionProvider"),
    ("cuda", "CUDAExecutionProvider"),
    ("cpu", "CPUExecutionProvider"),
)


def work_gflop(bundle: Bundle, work: Work) -> float | None:
    """GFLOP of one call: predictor, and steps times samples of the denoiser.

    None without onnx and onnxruntime. Counts 2 per multiply-add, and biases, of convolutions and
    matrix products, as the paper's Table 4 does; pictures are padded to the bundle's size rule.
    """
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        return None
    multiple = bundle.manifest.size_multiple_px
    height, width = (-(-side // multiple) * multiple for side in (work.height_px, work.width_px))
    predictor = graph_flop(bundle, bundle.manifest.predictor, height * width)
    step = graph_flop(bundle, bundle.manifest.step, height * width) if work.steps else 0.0
    return round(work.batch * (predictor + work.steps * work.samples * step) / 1e9, 3)


def graph_flop(bundle: Bundle, graph: Graph, pixels: int) -> float:
    """Operations of one graph for one picture of so many pixels."""
    side = _COUNTED_CELLS * bundle.manifest.size_multiple_px
    per_picture, per_pixel = _count(bundle.path(graph.file), graph, side)
    return per_picture + per_pixel * pixels


@cache
def _count(path: Path, graph: Graph, side_px: int) -> tuple[float, float]:
    """Operations that do not depend on the picture's size, and those of each pixel.

    The graph's free sizes are known only when it runs, so it runs, on a small picture, with the
    outputs of all that counts made outputs of the graph.
    """
    onnx, library = (importlib.import_module(name) for name in ("onnx", "onnxruntime"))
    model = onnx.load(path)
    counted = [node for node in model.graph.node if node.op_type in _COUNTED]
    weights = _weight_shapes(model.graph)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=node.output[0]) for node in counted)
    options = library.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = library.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = library.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    used = {value.name for value in session.get_inputs()}
    outputs = session.run(
        None,
        {
            tensor.name: np.zeros(_shape(tensor, side_px), tensor.dtype)
            for tensor in graph.inputs
            if tensor.name in used
        },
    )
    counts = [_flop(node, weights, value) for node, value in zip(counted, outputs, strict=True)]
    spatial = [value.ndim == 4 for value in outputs]
    fixed = sum(count for count, grows in zip(counts, spatial, strict=True) if not grows)
    return float(fixed), (sum(counts) - fixed) / side_px**2


def _shape(tensor: Tensor, side_px: int) -> tuple[int, ...]:
    """One picture of that side for a tensor with free sizes, else the shape as it stands."""
    if len(tensor.shape) == 4:
        return (1, int(tensor.shape[1]), side_px, side_px)
    return tuple(int(size) for size in tensor.shape)


def _weight_shapes(graph: Any) -> dict[str, list[int]]:
    """Shapes of the stored tensors, also under the names they have once dequantized or cast."""
    shapes = {entry.name: list(entry.dims) for entry in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Cast", "DequantizeLinear", "Identity") and node.input[0] in shapes:
            shapes[node.output[0]] = shapes[node.input[0]]
    return shapes


def _flop(node: Any, weights: dict[str, list[int]], output: NDArray[Any]) -> int:
    """2 for each multiply-add and 1 for each bias of one node; 0 for a product of no weights."""
    if node.input[1] not in weights:
        return 0
    shape, has_bias = weights[node.input[1]], len(node.input) > 2
    if node.op_type == "Conv":
        # (out, in / groups, rows, columns): every output value is one product over all but out.
        return output.size * (2 * math.prod(shape[1:]) + has_bias)
    attributes = {entry.name: entry for entry in node.attribute}
    if node.op_type == "ConvTranspose":
        # (in, out, rows, columns): with a stride only a part of the kernel meets each value.
        stride = math.prod(attributes["strides"].ints)
        return output.size * (2 * shape[0] * math.prod(shape[2:]) // stride + has_bias)
    transposed = "transB" in attributes and attributes["transB"].i
    return output.size * (2 * shape[1 if transposed else 0] + has_bias)


def roof_of(engine: str, precision: str, gflop: float | None, p50_ms: float) -> Roof | None:
    """The roofline row of a case; None where the arithmetic could not be counted.

    ``engine`` is what the engine or peer says of itself.
    """
    if gflop is None:
        return None
    reached = gflop / (p50_ms / 1000.0)
    words = engine.lower()
    ran = next((library for word, library in _PEAKS if word in words), None)
    peak, by = measured_peak(ran, precision) if ran else (None, "not measured: no library is known")
    share = None if peak is None else round(reached / peak, 4)
    return Roof(gflop, round(reached, 2), peak, by, share)


@cache
def measured_peak(by: str, precision: str) -> tuple[float | None, str]:
    """GFLOP/s of a 3x3 convolution on this device, and who ran it; None and why not.

    ``by`` is an ONNX Runtime provider or "openvino"; ``precision`` the weights' type, float32
    where it is none of convolution's.
    """
    typed = precision if precision in _TYPES else "float32"
    if by == "openvino":
        call, said = _openvino_convolution(typed)
    else:
        call, said = _onnx_convolution(by, typed)
    if call is None:
        return None, said
    gflop = 2 * _CHANNELS * _CHANNELS * 9 * _SIDE_PX * _SIDE_PX / 1e9
    return round(gflop / _fastest_seconds(call), 1), said


def _fastest_seconds(call: Callable[[], object]) -> float:
    """The fastest call of about a second: a peak is what can be reached."""
    times: list[float] = []
    ends = time.perf_counter() + _PEAK_SECONDS
    while time.perf_counter() < ends or len(times) < _PEAK_CALLS:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def _onnx_convolution(provider: str, precision: str) -> tuple[Callable[[], object] | None, str]:
    if find_spec("onnxruntime") is None or find_spec("onnx") is None:
        return None, "not measured: needs onnx and onnxruntime"
    library = importlib.import_module("onnxruntime")
    if provider not in library.get_available_providers():
        return None, f"not measured: this ONNX Runtime has no {provider}"
    options = library.SessionOptions()
    options.log_severity_level = 4
    session = library.InferenceSession(_convolution(precision), options, providers=[provider])
    if session.get_providers()[0] != provider:
        return None, f"not measured: {provider} does not start here"
    device = "cuda" if provider.startswith("CUDA") else "cpu"
    x = library.OrtValue.ortvalue_from_numpy(_picture(precision), device, 0)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", x)
    binding.bind_output("y", device)

    def call() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    said = f"ONNX Runtime {library.__version__} {provider}, 3x3 convolution, {precision}"
    return call, said


def _openvino_convolution(precision: str) -> tuple[Callable[[], object] | None, str]:
    if find_spec("openvino") is None or find_spec("onnx") is None:
        return None, "not measured: needs onnx and openvino"
    library = importlib.import_module("openvino")
    core = library.Core()
    compiled = core.compile_model(core.read_model(_convolution(precision), b""), "CPU")
    request, x = compiled.create_infer_request(), _picture(precision)
    # OpenVINO takes bfloat16 by itself where the processor has it, as the engine does.
    used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    said = f"OpenVINO {library.__version__.partition('-')[0]} CPU, 3x3 convolution, {used}"
    return lambda: request.infer([x], share_inputs=True), said


def _picture(precision: str) -> Any:
    shape = (1, _CHANNELS, _SIDE_PX, _SIDE_PX)
    return np.random.default_rng(0).standard_normal(shape, np.float32).astype(precision)


def _convolution(precision: str) -> bytes:
    """One 3x3 convolution of constant width as an ONNX model."""
    onnx = importlib.import_module("onnx")
    helper, element = onnx.helper, _TYPES[precision]
    shape = [1, _CHANNELS, _SIDE_PX, _SIDE_PX]
    x, y = (helper.make_tensor_value_info(name, element, shape) for name in "xy")
    weights = np.full((_CHANNELS, _CHANNELS, 3, 3), 1e-3, precision)
    node = helper.make_node("Conv", ["x", "weights"], ["y"], pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node], "peak", [x], [y], [onnx.numpy_helper.from_array(weights, "weights")]
    )
    opset = helper.make_opsetid("", _OPSET)
    data: bytes = helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString()
    return data
