"""The whole pipeline in one ONNX graph: predictor and steps unrolled between two uint8 pictures.

Made of the bundle's own graphs, so that it is of their precision and equals the runtime's loop for
the same noise; the steps share one copy of the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.layers import open_session, run_session
from export.parity import SamplerParity, compare_pictures, deblur, picture, round_up
from export.widened import WIDENED, open_candidate
from runtime.bundle import Bundle, Graph, Tensor
from runtime.noise import normals
from runtime.samplers import SamplerConfig, Table, compile_table

FILE = "fused.onnx"
CARD = "fused.json"
_PICTURE_PX = (64, 96)
LARGEST_STEPS = 50


class Fused(msgspec.Struct, frozen=True):
    """What ``fused.json`` says: the graph's signature and the sampler that is unrolled in it.

    ``image`` and ``sharp`` are uint8 RGB (H, W, 3), H and W multiples of ``size_multiple_px``;
    ``noise`` is float32 (steps + 1, 3, H, W), standard normal, the start first: what
    ``runtime.noise.normals(seed, sample, k, H, W)`` gives for k = 0 to steps.
    """

    graph: Graph
    size_multiple_px: int
    precision: str
    sampler: SamplerConfig


class Composer:
    """A graph in the making: constants, nodes, and other graphs put into it."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    @property
    def constants(self) -> list[TensorProto]:
        return list(self._constants.values())

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        """Store ``values`` once under ``name``."""
        self._constants[name] = numpy_helper.from_array(values, name)
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """A node of one output, which is returned."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def number(self, kind: str, value: str, number: float, output: str) -> str:
        """A node that takes ``value`` and a float32 number."""
        name = self.constant(f"{output}/number", np.array(number, np.float32))
        return self.add(kind, [value, name], output)

    def insert(
        self, model: onnx.ModelProto, weights: str, prefix: str, inputs: Mapping[str, str]
    ) -> dict[str, str]:
        """Put ``model`` in, its inputs wired to ``inputs``; returns the new names of its outputs.

        Its weights are stored under ``weights``, once for all insertions of that name.
        """
        names = {"": "", **inputs}
        for tensor in model.graph.initializer:
            names[tensor.name] = f"{weights}/{tensor.name}"
            if names[tensor.name] not in self._constants:
                stored = TensorProto()
                stored.CopyFrom(tensor)
                stored.name = names[tensor.name]
                self._constants[stored.name] = stored
        for node in model.graph.node:
            assert all(a.type != onnx.AttributeProto.GRAPH for a in node.attribute)
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{prefix}/{node.name}"
            names.update({name: f"{prefix}/{name}" for name in node.output if name})
            copy.input[:] = [names[name] for name in node.input]
            copy.output[:] = [names[name] for name in node.output]
            self.nodes.append(copy)
        return {value.name: names[value.name] for value in model.graph.output}


def fuse(
    predictor: onnx.ModelProto, step: onnx.ModelProto, table: Table, multiple_px: int
) -> tuple[onnx.ModelProto, Graph]:
    """One graph of both models and the rows of ``table`` (at least one), and its signature.

    The batch is one picture; height and width stay free in steps of ``multiple_px``.
    """
    composer = Composer()
    y = _read_picture(composer, "image")
    guess = composer.insert(predictor, "predictor", "predict", {"y": y})["guess"]
    residual = _unroll(composer, step, table, y)
    _write_picture(composer, composer.add("Add", [guess, residual], "picture"), "sharp")

    signature = _signature(table.steps, multiple_px)
    graph = helper.make_graph(
        composer.nodes,
        "fused",
        [_value(tensor) for tensor in signature.inputs],
        [_value(tensor) for tensor in signature.outputs],
        composer.constants,
    )
    model = helper.make_model(
        graph, opset_imports=predictor.opset_import, ir_version=predictor.ir_version
    )
    onnx.checker.check_model(model, full_check=True)
    return model, signature


def _read_picture(composer: Composer, image: str) -> str:
    """As ``runtime.images.to_model``; TensorRT wants the cast of a uint8 input first."""
    floats = composer.add("Cast", [image], "read/floats", to=TensorProto.FLOAT)
    planes = composer.add("Transpose", [floats], "read/planes", perm=[2, 0, 1])
    scaled = composer.number("Mul", planes, 2.0 / 255.0, "read/scaled")
    centred = composer.number("Sub", scaled, 1.0, "read/centred")
    return composer.add("Unsqueeze", [centred, _axis(composer)], "y")


def _write_picture(composer: Composer, x: str, image: str) -> None:
    """As ``runtime.images.from_model``."""
    positive = composer.number("Add", x, 1.0, "write/positive")
    scaled = composer.number("Mul", positive, 127.5, "write/scaled")
    rounded = composer.add("Round", [scaled], "write/rounded")
    bounds = [
        composer.constant(f"write/{name}", np.array(value, np.float32))
        for name, value in (("black", 0.0), ("white", 255.0))
    ]
    clipped = composer.add("Clip", [rounded, *bounds], "write/clipped")
    planes = composer.add("Squeeze", [clipped, _axis(composer)], "write/planes")
    pixels = composer.add("Transpose", [planes], "write/pixels", perm=[1, 2, 0])
    composer.add("Cast", [pixels], image, to=TensorProto.UINT8)


def _unroll(composer: Composer, step: onnx.ModelProto, table: Table, y: str) -> str:
    """As ``runtime.loop.sample_residual``, with noise that comes in as one input."""
    fields = [f"noise/{index}" for index in range(table.steps + 1)]
    composer.nodes.append(
        helper.make_node(
            "Split", ["noise"], fields, name="noise/split", axis=0, num_outputs=len(fields)
        )
    )
    z = composer.number("Mul", fields[0], table.start, "start")
    previous = composer.number("Mul", y, 0.0, "silent")
    for index, row in enumerate(table.rows.astype(np.float32)):
        inputs = {
            "z": z,
            "y": y,
            "noise": fields[index + 1],
            "previous": previous,
            "row": composer.constant(f"row/{index}", row),
        }
        outputs = composer.insert(step, "denoiser", f"step{index}", inputs)
        z, previous = outputs["z_next"], outputs["residual"]
    return z


def _axis(composer: Composer) -> str:
    return composer.constant("first_axis", np.array([0], np.int64))


def _signature(steps: int, multiple_px: int) -> Graph:
    rows, columns = f"{multiple_px}*rows", f"{multiple_px}*columns"
    image = Tensor("image", "uint8", (rows, columns, 3))
    noise = Tensor("noise", "float32", (steps + 1, 3, rows, columns))
    return Graph(FILE, (image, noise), (Tensor("sharp", "uint8", (rows, columns, 3)),))


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return helper.make_tensor_value_info(tensor.name, element, tensor.shape)


def compare_fused(bundle: Bundle) -> SamplerParity | None:
    """The bundle's fused graph against the runtime's loop over the two others, on the same noise.

    None for a bundle without one, and where ONNX Runtime has no kernels for the precision.
    """
    if FILE not in bundle.manifest.files:
        return None
    name, engine = open_candidate(bundle)
    if name == WIDENED:
        return None
    card = msgspec.json.decode(bundle.path(CARD).read_bytes(), type=Fused)
    table = compile_table(card.sampler, bundle.manifest.prediction)
    image = picture(*round_up(_PICTURE_PX, card.size_multiple_px))
    noise = [normals(0, 0, step, *image.shape[:2]) for step in range(table.steps + 1)]
    session = open_session(bundle.path(FILE).read_bytes(), optimised=True)
    outputs: list[Any] = run_session(session, {"image": image, "noise": np.stack(noise)})
    return compare_pictures("fused", table, deblur(engine, table, image), outputs[0])
