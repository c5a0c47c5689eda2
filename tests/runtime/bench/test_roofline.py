from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime.bench.cases import Work
from runtime.bench.roofline import graph_flop, roof_of, work_gflop
from runtime.bundle import Bundle, Graph, Tensor, open_bundle

SIGNATURE = Graph(
    "graph.onnx",
    (Tensor("y", "float32", ("batch", 3, "16*rows", "16*columns")),),
    (Tensor("guess", "float32", ("batch", 5, "16*rows", "16*columns")),),
)


def with_graph(
    folder: Path, nodes: list[onnx.NodeProto], weights: dict[str, tuple[int, ...]]
) -> Bundle:
    """The shipped bundle's manifest over a folder that holds one graph of ``nodes``."""
    y, guess = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "h", "w"])
        for name, channels in (("y", 3), ("guess", 5))
    )
    stored = [numpy_helper.from_array(np.ones(s, np.float32), n) for n, s in weights.items()]
    graph = helper.make_graph(nodes, "graph", [y], [guess], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "graph.onnx")
    return replace(open_bundle(), directory=folder)


def test_a_convolution_counts_two_for_each_product_and_one_for_its_bias(tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["y", "w", "b"], ["guess"], pads=[1, 1, 1, 1])
    bundle = with_graph(tmp_path, [node], {"w": (5, 3, 3, 3), "b": (5,)})
    assert graph_flop(bundle, SIGNATURE, 1000) == 1000 * 5 * (2 * 27 + 1)


def test_a_strided_pair_of_convolutions_counts_each_at_its_size(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["y", "down"], ["half"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node(
            "ConvTranspose", ["half", "up"], ["guess"], pads=[1, 1, 1, 1], strides=[2, 2]
        ),
    ]
    bundle = with_graph(tmp_path, nodes, {"down": (8, 3, 4, 4), "up": (8, 5, 4, 4)})
    # A quarter of the pixels below; each value there meets the whole kernel on both ways.
    assert graph_flop(bundle, SIGNATURE, 4000) == 1000 * (8 * 2 * 3 * 16 + 8 * 2 * 5 * 16)


def test_work_grows_with_steps_samples_and_batch() -> None:
    bundle = open_bundle()
    alone, once, more = (
        work_gflop(bundle, Work(64, 64, steps, samples, batch))
        for steps, samples, batch in ((0, 1, 1), (1, 1, 1), (4, 2, 3))
    )
    assert alone is not None
    assert once is not None
    assert more == pytest.approx(3 * (alone + 8 * (once - alone)), rel=0.01)


def test_without_a_count_there_is_no_roof() -> None:
    assert roof_of("onnx-cpu (CPU)", "float32", None, 1.0) is None


def test_an_engine_of_an_unknown_kind_has_no_peak() -> None:
    roof = roof_of("fake", "float32", 10.0, 1000.0)
    assert roof is not None
    assert (roof.gflops, roof.share) == (10.0, None)
    assert roof.peak_by.startswith("not measured")


def test_a_peer_in_bfloat16_is_not_held_against_float32() -> None:
    pytest.importorskip("openvino")
    roof = roof_of("PyTorch 2.13.0 eager, bfloat16, channels last, cpu", "float32", 10.0, 1000.0)
    assert roof is not None
    assert "OpenVINO" in roof.peak_by
