from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from export.engines.library import Built, Typed
from export.engines.proof import describe, prove
from runtime.errors import EngineError
from runtime.plans.card import Proof

COUNT = 1000


def graph(dtype: str) -> bytes:
    """A model that stores ``COUNT`` weights of one type."""
    weights = onnx.numpy_helper.from_array(np.zeros(COUNT, dtype), "weights")
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [weights]))
    data: bytes = model.SerializeToString()
    return data


def built(computes: str, layers: dict[str, int] | None = None, quantized: int = 0) -> Built:
    """What a library hands back: convolutions in ``computes``, and layers' weights by type."""
    entries = [{"Weights": {"Type": t, "Count": n}} for t, n in (layers or {}).items()]
    text = None if layers is None else json.dumps({"Layers": ["a name only", *entries]})
    typed = Typed({computes: 9}, quantized, {computes: 9})
    return Built(b"p" * 10_000, (), (), typed, 1.0, layers=text)


def proved(precision: str, dtype: str, weights_bytes: int, engine: Built) -> Proof:
    return prove(precision, graph(dtype), engine, weights_bytes, weights_left_out=False)


def test_half_is_proved_by_type_and_by_size() -> None:
    proof = proved("float16", "float16", 2 * COUNT, built("HALF"))
    assert proof.graph_weights_bytes == 2 * COUNT
    assert "plan not read back: no GPU" in describe(proof)


@pytest.mark.parametrize("computes", ["FLOAT", "BF16"])
def test_a_network_that_computes_in_another_type_is_refused(computes: str) -> None:
    with pytest.raises(EngineError, match="the network's convolutions are"):
        proved("float16", "float16", 2 * COUNT, built(computes))


def test_weights_that_silently_doubled_are_refused() -> None:
    with pytest.raises(EngineError, match="bytes of weights"):
        proved("float16", "float16", 4 * COUNT, built("HALF"))


def test_weights_that_silently_halved_are_refused() -> None:
    with pytest.raises(EngineError, match="bytes of weights"):
        proved("float32", "float32", 2 * COUNT, built("FLOAT"))


def test_a_builder_that_states_no_weights_proves_nothing() -> None:
    with pytest.raises(EngineError, match="stated no weights"):
        proved("float32", "float32", 0, built("FLOAT"))


def test_a_plan_without_its_weights_is_proved_by_the_network_alone() -> None:
    engine = built("HALF")
    assert prove("float16", graph("float16"), engine, 0, weights_left_out=True).weights_bytes == 0


def test_layers_that_were_read_back_decide() -> None:
    # Kernels that transform their weights hold more of them: the size says nothing then.
    layers = {"Half": 900, "Float": 100}
    assert proved("float16", "float16", 9 * COUNT, built("HALF", layers)).layer_weights == layers
    with pytest.raises(EngineError, match="built layers' weights"):
        proved("float16", "float16", 2 * COUNT, built("HALF", {"Half": 100, "Float": 900}))


def test_int8_needs_quantized_convolutions() -> None:
    assert proved("int8", "int8", COUNT, built("FLOAT", quantized=9)).quantized == 9
    with pytest.raises(EngineError, match="quantized input"):
        proved("int8", "int8", COUNT, built("FLOAT"))


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(EngineError, match="float8"):
        proved("float8", "float16", 2 * COUNT, built("HALF"))
