"""Compare two engines: each graph, and whole samplers on the same noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.engines import Engine, Request
from runtime.images import from_model, to_model
from runtime.loop import sample_residual
from runtime.noise import normals
from runtime.samplers import Prediction, SamplerConfig, Table, compile_table

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]
Size = tuple[int, int]

# Height and width. None is the traced size, and all sides differ in their factors.
SIZES_PX: tuple[Size, ...] = ((64, 64), (120, 200), (328, 136))
BATCH = 3
PIXELS_WITHIN_ONE = 0.9999
ANCESTRAL = SamplerConfig(method="ancestral", schedule="linear")
MULTISTEP = SamplerConfig(method="dpm++2m", schedule="log-snr")
# What stands for "no difference at all", so that the report needs no infinity.
_IDENTICAL_DB = 120.0
_GREY_LEVEL = 2.0 / 255.0  # on the model's range


@dataclass(frozen=True)
class Tolerance:
    """How far off a bundle of one precision may be before it is refused.

    ``max_abs`` bounds each output of a graph on the model's range [-1, 1], given any numbers of
    that range; None where only pictures count. The next two bound whole samplers: the share of
    pixels within one grey level, and the PSNR of their pictures. ``layer`` is the relative error
    from which on a layer is said to depart, ``range_share`` the largest activation as a share of
    the largest number that the precision holds; None where it holds all that float32 does.
    """

    max_abs: float | None
    within_one_grey_level: float
    psnr_db: float
    layer: float
    range_share: float | None = None


TOLERANCES = {
    "float32": Tolerance(1e-4, PIXELS_WITHIN_ONE, 60.0, layer=1e-4),
    # Half has 11 bits: a few of its steps at magnitude 1, summed up over 36 blocks. Two bits of
    # its range stay free for pictures that are not among the compared ones.
    "float16": Tolerance(1e-2, 0.99, 45.0, layer=2e-2, range_share=0.25),
    # Eight bits, and float32's range.
    "bfloat16": Tolerance(5e-2, 0.80, 36.0, layer=1e-1),
    # Calibrated for pictures: what it makes of random numbers is shown and not bounded. A share of
    # the layers stays in float until whole samplers keep the bound.
    "int8": Tolerance(None, 0.0, 38.0, layer=5e-1),
}


def both(first: Tolerance, second: Tolerance) -> Tolerance:
    """What to expect of graphs in one precision that are computed in another: errors add up."""
    noise = sum(10.0 ** (-entry.psnr_db / 10.0) for entry in (first, second))
    bounds = [entry.max_abs for entry in (first, second) if entry.max_abs is not None]
    return Tolerance(
        max_abs=sum(bounds) if len(bounds) == 2 else None,
        within_one_grey_level=max(
            0.0, first.within_one_grey_level + second.within_one_grey_level - 1.0
        ),
        psnr_db=-10.0 * math.log10(noise),
        layer=first.layer + second.layer,
        range_share=first.range_share,
    )


def describe_tolerance(tolerance: Tolerance) -> str:
    """The bounds, in one line."""
    bounds = [f"whole samplers at least {tolerance.psnr_db:.1f} dB"]
    if tolerance.within_one_grey_level > 0.0:
        bounds.append(f"{tolerance.within_one_grey_level:.2%} of pixels within one grey level")
    if tolerance.max_abs is not None:
        bounds.append(f"graphs at most {tolerance.max_abs:.0e} off")
    if tolerance.range_share is not None:
        bounds.append(f"activations below {tolerance.range_share:.0%} of the precision's range")
    return ", ".join(bounds)


class GraphParity(msgspec.Struct, frozen=True):
    """One output at one shape, on the model's range [-1, 1].

    ``beyond_one_grey_level`` is the share of pixels of which a channel is more than 2/255 off.
    """

    output: str
    shape: tuple[int, ...]
    max_abs: float
    psnr_db: float
    beyond_one_grey_level: float


class SamplerParity(msgspec.Struct, frozen=True):
    """A whole sampler on the same noise: share of pixels within one grey level, and the rest."""

    method: str
    steps: int
    shape: tuple[int, ...]
    within_one_grey_level: float
    max_grey_levels: int
    psnr_db: float


class Parity(msgspec.Struct, frozen=True):
    """All comparisons of one engine with another."""

    graphs: tuple[GraphParity, ...]
    samplers: tuple[SamplerParity, ...]

    def failures(self, tolerance: Tolerance = TOLERANCES["float32"]) -> list[str]:
        """One line for each comparison that misses its bound; empty if all hold."""
        bound = tolerance.max_abs
        graphs = [
            f"{entry.output} at {entry.shape} is {entry.max_abs:.2e} off, wanted is {bound:.0e}"
            for entry in self.graphs
            if bound is not None and not entry.max_abs <= bound
        ]
        samplers = [
            f"{entry.method} with {entry.steps} steps at {entry.shape} has only "
            f"{entry.within_one_grey_level:.4%} of its pixels within one grey level, "
            f"{entry.psnr_db:.1f} dB; wanted are {tolerance.within_one_grey_level:.2%} and "
            f"{tolerance.psnr_db:.1f} dB"
            for entry in self.samplers
            if not entry.within_one_grey_level >= tolerance.within_one_grey_level
            or not entry.psnr_db >= tolerance.psnr_db
        ]
        return graphs + samplers


def compare(
    reference: Engine,
    candidate: Engine,
    prediction: Prediction,
    size_multiple_px: int,
    *,
    sizes_px: Sequence[Size] = SIZES_PX,
    images: Sequence[Image] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Parity:
    """Compare two engines: each graph at several shapes, and whole samplers on the same noise.

    ``sizes_px`` (height, width) are rounded up to the model's size rule, as the runtime pads a
    picture; the first one is compared as a batch too. ``images`` are uint8 (H, W, 3) of legal
    sizes; without any, samplers run on a made-up picture of each size but the largest. ``say`` is
    told what begins. Raises EngineError for a size that an engine does not take.
    """
    sizes = list(dict.fromkeys(round_up(size, size_multiple_px) for size in sizes_px))
    images = images or [picture(*size) for size in _but_the_largest(sizes)]
    graphs: list[GraphParity] = []
    for shape in [(BATCH, 3, *sizes[0]), *((1, 3, *size) for size in sizes)]:
        say(f"graphs at {shape}")
        graphs.extend(_graphs(reference, candidate, shape, prediction))
    samplers: list[SamplerParity] = []
    for index, image in enumerate(images):
        say(f"samplers at {image.shape[1]}x{image.shape[0]}")
        for config in (ANCESTRAL, MULTISTEP) if index == 0 else (ANCESTRAL,):
            samplers.extend(_samplers(reference, candidate, config, prediction, image))
    return Parity(tuple(graphs), tuple(samplers))


def _but_the_largest(sizes: list[Size]) -> list[Size]:
    # The largest one costs as much as the others together; the graphs are compared at it.
    return sorted(sizes, key=lambda size: size[0] * size[1])[:-1] or sizes


def round_up(size_px: Size, multiple_px: int) -> Size:
    """The next larger (height, width) that the size rule allows."""
    height, width = (-(-side // multiple_px) * multiple_px for side in size_px)
    return height, width


def middle_row(prediction: Prediction) -> Floats:
    """A row of a sampler table in which no number is 0 or 1, float32 (7,)."""
    table = compile_table(MULTISTEP, prediction)
    return table.rows[len(table.rows) // 2].astype(np.float32)


def _graphs(
    reference: Engine, candidate: Engine, shape: tuple[int, ...], prediction: Prediction
) -> list[GraphParity]:
    inputs = graph_inputs(shape, prediction)
    wanted, got = (graph_outputs(engine, inputs) for engine in (reference, candidate))
    return [
        _graph(name, value, got[graph][name])
        for graph, outputs in wanted.items()
        for name, value in outputs.items()
    ]


def graph_inputs(shape: Sequence[int], prediction: Prediction) -> dict[str, dict[str, Floats]]:
    """What "predictor" and "step" are compared on: the same random numbers each time.

    Of the model's range, in pictures of ``shape`` (N, 3, H, W).
    """
    rng = np.random.default_rng(shape)
    y, z, noise, previous = (rng.uniform(-1.0, 1.0, shape).astype(np.float32) for _ in range(4))
    row = middle_row(prediction)
    step = {"z": z, "y": y, "noise": noise, "previous": previous, "row": row}
    return {"predictor": {"y": y}, "step": step}


def graph_outputs(
    engine: Engine, inputs: dict[str, dict[str, Floats]]
) -> dict[str, dict[str, Floats]]:
    """What ``engine`` makes of them, by graph and output."""
    z_next, residual = engine.step(**inputs["step"])
    return {
        "predictor": {"guess": engine.predict(**inputs["predictor"])},
        "step": {"z_next": z_next, "residual": residual},
    }


def _graph(name: str, wanted: Floats, got: Floats) -> GraphParity:
    apart = np.abs(wanted.astype(np.float64) - got)
    beyond = float((apart.max(axis=1) > _GREY_LEVEL).mean())
    return GraphParity(
        name, wanted.shape, float(apart.max()), _psnr_db(float((apart**2).mean()), 2.0), beyond
    )


def _samplers(
    reference: Engine,
    candidate: Engine,
    config: SamplerConfig,
    prediction: Prediction,
    image: Image,
) -> list[SamplerParity]:
    table = compile_table(config, prediction)
    wanted = deblur(reference, table, image)
    pictures: dict[str, Image] = {config.method: deblur(candidate, table, image)}
    # An engine with a loop of its own may be wrong there and right in each graph.
    run: Any = getattr(candidate, "run", None)
    if run is not None:
        answer = run(Request(image[None], table, samples=1, seed=0))
        pictures[f"{config.method}, the engine's own loop,"] = answer.images[0]
    return [compare_pictures(name, table, wanted, got) for name, got in pictures.items()]


def compare_pictures(method: str, table: Table, wanted: Image, got: Image) -> SamplerParity:
    """Two pictures, uint8 (H, W, 3), that ``table`` led to."""
    apart = np.abs(wanted.astype(np.int16) - got)
    # A pixel counts as apart if any of its channels is.
    within = float((apart.max(axis=-1) <= 1).mean())
    return SamplerParity(
        method, table.steps, wanted.shape, within, int(apart.max()), psnr_db(wanted, got)
    )


def deblur(engine: Engine, table: Table, image: Image, seed: int = 0) -> Image:
    """One sample for uint8 (H, W, 3) of a legal size, as the runtime draws it."""
    y = to_model(image)

    def noise(step: int) -> Floats:
        return normals(seed, 0, step, *image.shape[:2])[None]

    return from_model(engine.predict(y) + sample_residual(table, y, engine.step, noise))


def psnr_db(wanted: Image, got: Image) -> float:
    """PSNR of two uint8 pictures."""
    error = float(((wanted.astype(np.float64) - got) ** 2).mean())
    return _psnr_db(error, 255.0)


def _psnr_db(mean_square: float, peak: float) -> float:
    return _IDENTICAL_DB if mean_square == 0.0 else float(10.0 * np.log10(peak**2 / mean_square))


def picture(height_px: int, width_px: int) -> Image:
    """A picture-like field, uint8 (H, W, 3): sharp edges, gradients and some texture."""
    rows, columns = np.mgrid[:height_px, :width_px].astype(np.float32)
    shapes = [np.sign(np.sin(rows / (5 + k) + columns / (9 - k))) * 0.5 for k in range(3)]
    ramp = columns / width_px - 0.5
    texture = 0.1 * normals(1, 0, 0, height_px, width_px)
    return from_model((np.stack(shapes) + ramp + texture)[None].astype(np.float32))


def describe(parities: Sequence[GraphParity]) -> str:
    """The worst graph difference, in one line."""
    worst = max(parities, key=lambda entry: entry.max_abs)
    return (
        f"{worst.max_abs:.1e} ({worst.output} at {worst.shape}, {worst.psnr_db:.1f} dB, "
        f"{worst.beyond_one_grey_level:.3%} of pixels more than one grey level off)"
    )


def describe_sampler(entry: SamplerParity) -> str:
    """One whole sampler, in one line."""
    height, width = entry.shape[:2]
    return (
        f"{entry.method} {entry.steps} steps at {width}x{height}: "
        f"{entry.within_one_grey_level:.4%} of pixels within one grey level, "
        f"at most {entry.max_grey_levels} apart, {entry.psnr_db:.1f} dB"
    )
