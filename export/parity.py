"""Load, run and compare: how far a bundle's graphs are from the network they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from export.graphs import StepGraph
from runtime.engines import Engine
from runtime.images import from_model
from runtime.loop import sample_residual
from runtime.noise import normals
from runtime.samplers import Prediction, SamplerConfig, compile_table
from train.network import Model

Floats = NDArray[np.float32]

# None of them is the traced size, none is square twice, and all sides differ in their factors.
SIZES_PX = ((64, 64), (120, 200), (328, 136))
BATCHES = (1, 3)
PIXELS_WITHIN_ONE = 0.9999
# What stands for "no difference at all", so that the report needs no infinity.
_IDENTICAL_DB = 120.0


@dataclass(frozen=True)
class Tolerance:
    """How far off a bundle of one precision may be before it is refused.

    ``max_abs`` bounds each output of a graph on the model's range [-1, 1]; the other two bound
    whole samplers: the share of pixels within one grey level, and the PSNR of their pictures.
    """

    max_abs: float
    within_one_grey_level: float
    psnr_db: float


TOLERANCES = {
    "float32": Tolerance(1e-4, PIXELS_WITHIN_ONE, 60.0),
    # Half has 11 bits: a few of its steps at magnitude 1, summed up over 36 blocks.
    "float16": Tolerance(1e-2, 0.99, 45.0),
}


class GraphParity(msgspec.Struct, frozen=True):
    """Largest absolute difference of one output at one shape, on the model's range [-1, 1]."""

    output: str
    shape: tuple[int, ...]
    max_abs: float


class SamplerParity(msgspec.Struct, frozen=True):
    """The whole sampler on the same noise: share of pixels within one grey level of torch's."""

    method: str
    steps: int
    shape: tuple[int, ...]
    within_one_grey_level: float
    max_grey_levels: int
    psnr_db: float


class Parity(msgspec.Struct, frozen=True):
    """All comparisons of one bundle."""

    graphs: tuple[GraphParity, ...]
    samplers: tuple[SamplerParity, ...]

    def failures(self, tolerance: Tolerance = TOLERANCES["float32"]) -> list[str]:
        """One line for each comparison that misses its bound; empty if all hold."""
        graphs = [
            f"{entry.output} at {entry.shape} is {entry.max_abs:.2e} off, "
            f"wanted is {tolerance.max_abs:.0e}"
            for entry in self.graphs
            if not entry.max_abs <= tolerance.max_abs
        ]
        samplers = [
            f"{entry.method} with {entry.steps} steps at {entry.shape} has only "
            f"{entry.within_one_grey_level:.4%} of its pixels within one grey level, "
            f"{entry.psnr_db:.1f} dB"
            for entry in self.samplers
            if not entry.within_one_grey_level >= tolerance.within_one_grey_level
            or not entry.psnr_db >= tolerance.psnr_db
        ]
        return graphs + samplers


class TorchEngine:
    """The network itself behind the engine protocol, in float32 on the CPU."""

    name = "torch"

    def __init__(self, model: Model) -> None:
        self._model = model.eval()
        self._step = StepGraph(model).eval()

    @torch.inference_mode()
    def predict(self, y: Floats) -> Floats:
        result: Floats = self._model.predict(torch.from_numpy(y)).numpy()
        return result

    @torch.inference_mode()
    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        inputs = (torch.from_numpy(value) for value in (z, y, noise, previous, row))
        z_next, residual = self._step(*inputs)
        return z_next.numpy(), residual.numpy()


def compare(
    reference: Engine, candidate: Engine, prediction: Prediction, size_multiple_px: int
) -> Parity:
    """Compare two engines: each graph at several shapes, and whole samplers on the same noise.

    Sizes are rounded up to the model's size rule, as the runtime pads a picture.
    """
    sizes = [_round_up(size, size_multiple_px) for size in SIZES_PX]
    shapes = [(batch, 3, *size) for size in sizes for batch in BATCHES]
    graphs = [
        entry for shape in shapes for entry in _graphs(reference, candidate, shape, prediction)
    ]
    samplers = [
        _sampler(reference, candidate, config, prediction, sizes[1])
        for config in (
            SamplerConfig(method="ancestral", schedule="linear"),
            SamplerConfig(method="dpm++2m", schedule="log-snr"),
        )
    ]
    return Parity(tuple(graphs), tuple(samplers))


def _round_up(size_px: tuple[int, int], multiple_px: int) -> tuple[int, int]:
    height, width = (-(-side // multiple_px) * multiple_px for side in size_px)
    return height, width


def _graphs(
    reference: Engine, candidate: Engine, shape: tuple[int, ...], prediction: Prediction
) -> list[GraphParity]:
    rng = np.random.default_rng(shape)
    y, z, noise, previous = (rng.uniform(-1.0, 1.0, shape).astype(np.float32) for _ in range(4))
    table = compile_table(SamplerConfig(method="dpm++2m", schedule="log-snr"), prediction)
    row = table.rows[len(table.rows) // 2].astype(np.float32)
    pairs = [("guess", reference.predict(y), candidate.predict(y))]
    stepped = zip(
        ("z_next", "residual"),
        reference.step(z, y, noise, previous, row),
        candidate.step(z, y, noise, previous, row),
        strict=True,
    )
    pairs.extend(stepped)
    return [GraphParity(name, shape, float(np.abs(a - b).max())) for name, a, b in pairs]


def _sampler(
    reference: Engine,
    candidate: Engine,
    config: SamplerConfig,
    prediction: Prediction,
    size_px: tuple[int, int],
) -> SamplerParity:
    height, width = size_px
    y = _picture(height, width)
    table = compile_table(config, prediction)

    def deblur(engine: Engine) -> NDArray[np.int16]:
        def noise(step: int) -> Floats:
            return normals(0, 0, step, height, width)[None]

        x = engine.predict(y) + sample_residual(table, y, engine.step, noise)
        return from_model(x).astype(np.int16)

    apart = np.abs(deblur(reference) - deblur(candidate))
    # A pixel counts as apart if any of its channels is.
    within = float((apart.max(axis=-1) <= 1).mean())
    return SamplerParity(
        config.method, config.steps, y.shape, within, int(apart.max()), _psnr_db(apart)
    )


def _psnr_db(apart: NDArray[np.int16]) -> float:
    """PSNR of two pictures, from their differences in grey levels."""
    error = float((apart.astype(np.float64) ** 2).mean())
    return _IDENTICAL_DB if error == 0.0 else float(10.0 * np.log10(255.0**2 / error))


def _picture(height: int, width: int) -> Floats:
    """A picture-like field in [-1, 1]: sharp edges, gradients and some texture."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    shapes = [np.sign(np.sin(rows / (5 + k) + columns / (9 - k))) * 0.5 for k in range(3)]
    ramp = columns / width - 0.5
    texture = 0.1 * normals(1, 0, 0, height, width)
    return np.clip(np.stack(shapes) + ramp + texture, -1.0, 1.0)[None].astype(np.float32)


def describe(parities: Sequence[GraphParity]) -> str:
    """The worst graph difference, in one line."""
    worst = max(parities, key=lambda entry: entry.max_abs)
    return f"{worst.max_abs:.1e} ({worst.output} at {worst.shape})"
