"""What goes through a network while it deblurs: inputs at every noise level, and activations."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.layers import GraphEngine
from runtime.engines import Engine
from runtime.images import to_model
from runtime.loop import sample_residual
from runtime.noise import normals
from runtime.samplers import Table

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

# The largest finite number of each precision whose range is narrower than float32's.
_LARGEST = {"float16": 65504.0}


class LayerRange(msgspec.Struct, frozen=True):
    """The largest activation of a layer and its share of what the precision can hold."""

    graph: str
    layer: str
    largest: float
    share: float


class Recorder:
    """An engine that notes what its step is given, and passes it on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.steps: list[dict[str, Floats]] = []

    @property
    def name(self) -> str:
        return self._engine.name

    def predict(self, y: Floats) -> Floats:
        return self._engine.predict(y)

    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        self.steps.append({"z": z, "y": y, "noise": noise, "previous": previous, "row": row})
        return self._engine.step(z, y, noise, previous, row)


def step_inputs(engine: Engine, table: Table, image: Image, seed: int) -> list[dict[str, Floats]]:
    """The inputs of the step graph at each row of ``table`` while ``image`` is deblurred."""
    recorder = Recorder(engine)

    def noise(step: int) -> Floats:
        return normals(seed, 0, step, *image.shape[:2])[None]

    sample_residual(table, to_model(image), recorder.step, noise)
    return recorder.steps


def activation_ranges(
    engine: GraphEngine, precision: str, table: Table, images: Sequence[Image]
) -> list[LayerRange]:
    """The largest activation of each layer over ``images`` and all levels, the largest one first.

    Empty for a precision of float32's range.
    """
    if precision not in _LARGEST:
        return []
    largest: dict[tuple[str, str], float] = {}
    for seed, image in enumerate(images):
        given = [("predictor", {"y": to_model(image)})]
        given += [("step", inputs) for inputs in step_inputs(engine, table, image, seed)]
        for graph, inputs in given:
            for layer, value in engine.largest(graph, inputs).items():
                largest[graph, layer] = max(value, largest.get((graph, layer), 0.0))
    limit = _LARGEST[precision]
    ranges = [LayerRange(*key, value, value / limit) for key, value in largest.items()]
    return sorted(ranges, key=lambda entry: -entry.largest)
