"""Hold the engines of a bundle against the network it was made of, and find what departs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from export.activations import LayerRange, activation_ranges
from export.calibration import read_crops
from export.fused import compare_fused
from export.layers import GraphEngine, LayerParity, compare_layers, open_graphs
from export.parity import (
    ANCESTRAL,
    SIZES_PX,
    TOLERANCES,
    Image,
    Parity,
    Size,
    Tolerance,
    both,
    compare,
    describe,
    describe_sampler,
    describe_tolerance,
    middle_row,
    picture,
    round_up,
)
from export.widened import open_candidate, open_widened
from runtime.bundle import MANIFEST, Bundle, Manifest, open_bundle
from runtime.engines import AUTO_ORDER, Engine, open_engine
from runtime.errors import EngineError, OptionError
from runtime.images import to_model
from runtime.samplers import compile_table

if TYPE_CHECKING:
    from export.reference import TorchEngine

_PICTURES = 3
_PICTURE_PX = 128
_SHOWN_LAYERS = 5
_ROUNDING = "onnx-cpu, unoptimised: each operation rounds to half"


@dataclass(frozen=True)
class Checked:
    """What was compared, engine by engine, and what of it is outside the tolerance.

    ``pictures`` says in words what whole samplers ran on, ``tolerances`` what each engine was held
    to.
    """

    reference: str
    pictures: str
    tolerances: dict[str, Tolerance]
    engines: dict[str, Parity]
    ranges: list[LayerRange]
    failures: list[str]


def open_reference(
    bundle: Bundle, checkpoint: Path | None, reference: str | None
) -> TorchEngine | GraphEngine:
    """What ``bundle`` is held against: torch, a float32 bundle, or its own graphs unoptimised.

    Raises OptionError where a bundle of reduced precision comes without the first two.
    """
    if checkpoint is not None:
        return _open_checkpoint(checkpoint)
    sibling = bundle if reference is None else open_bundle(reference)
    if sibling.manifest.precision != "float32":
        raise OptionError(
            f"{sibling.directory} is {sibling.manifest.precision}; what it is held against must be "
            "float32: give the network with --checkpoint, or a float32 bundle with --reference"
        )
    if sibling.manifest.prediction != bundle.manifest.prediction:
        raise OptionError(
            f"{sibling.directory} predicts {sibling.manifest.prediction} and {bundle.directory} "
            f"{bundle.manifest.prediction}: they are of different networks"
        )
    where = "its own graphs" if reference is None else str(sibling.directory)
    return open_graphs(sibling, f"{where} on ONNX Runtime in float32, unoptimised")


def _open_checkpoint(checkpoint: Path) -> TorchEngine:
    from export.reference import TorchEngine
    from train.checkpoint import load_model

    return TorchEngine(load_model(checkpoint)[0])


def check(
    bundle: Bundle,
    reference: TorchEngine | GraphEngine,
    tolerance: Tolerance,
    sizes_px: Sequence[Size] = (),
    images: Sequence[Image] = (),
    engine: str | None = None,
) -> Checked:
    """Compare the engines that this machine runs with ``reference``, and say how far it is.

    Raises EngineError where there is none, or where ``engine`` is asked for and cannot run.
    """
    manifest = bundle.manifest
    parities: dict[str, Parity] = {}
    tolerances: dict[str, Tolerance] = {}
    failures: list[str] = []
    for candidate in _engines(bundle, engine):
        sizes = sizes_px or default_sizes(bundle, candidate)
        parity = compare(
            reference,
            candidate,
            manifest.prediction,
            manifest.size_multiple_px,
            sizes_px=sizes,
            images=images,
            say=lambda text: print(f"  {text}", flush=True),
        )
        parities[candidate.name] = parity
        _show(candidate.name, parity)
        bound = _tolerance_of(candidate, manifest.precision, tolerance)
        tolerances[candidate.name] = bound
        failures.extend(f"{candidate.name}: {text}" for text in parity.failures(bound))
    fused = compare_fused(bundle)
    if fused is not None:
        print(describe_sampler(fused))
        failures.extend(Parity((), (fused,)).failures(tolerance))
    ranges = _ranges(bundle, images)
    failures.extend(_out_of_range(ranges, tolerance))
    return Checked(reference.name, describe_images(images), tolerances, parities, ranges, failures)


def describe_images(images: Sequence[Image]) -> str:
    """What whole samplers run on, in words."""
    if not images:
        return "made-up pictures"
    height, width = images[0].shape[:2]
    return f"{len(images)} real picture{'s' if len(images) > 1 else ''} of {width}x{height}"


def _tolerance_of(engine: Engine, precision: str, tolerance: Tolerance) -> Tolerance:
    """``tolerance``, but for an engine that computes in less than the graphs are typed in.

    Such an engine says so in an attribute ``precision``, and is held to both together.
    """
    computed = getattr(engine, "precision", precision)
    if computed in (precision, "float32"):
        return tolerance
    bound = both(tolerance, TOLERANCES[computed])
    print(f"{engine.name} computes {precision} graphs in {computed}: {describe_tolerance(bound)}")
    return bound


def _engines(bundle: Bundle, only: str | None) -> Iterable[Engine]:
    """What "auto" may take and opens here, or ``only``; of the others it is said why they don't."""
    found = 0
    for name in [only] if only else AUTO_ORDER:
        try:
            engine = open_candidate(bundle)[1] if name == "onnx-cpu" else open_engine(name, bundle)
        except EngineError as error:
            if only:
                raise
            print(f"{name}: not compared: {error}")
            continue
        found += 1
        yield engine
        if name == "onnx-cpu" and bundle.manifest.precision == "float16":
            # Optimised, ONNX Runtime's CPU rounds to half more rarely than a GPU does.
            yield open_graphs(bundle, _ROUNDING)
    if not found:
        raise EngineError(
            f"no engine of this machine can run {bundle.directory}, so nothing was compared; "
            "python -m export.doctor says what is missing"
        )


def default_sizes(bundle: Bundle, engine: Engine) -> Sequence[Size]:
    """Small sizes of odd aspects; for built engines the corners of their profiles."""
    profiles = [] if engine.name.startswith("onnx-cpu") else _profiles(bundle)
    sizes: list[Size] = []
    for low, tuned, high in profiles:
        # The widest and the highest picture of a profile lie between its min and max.
        sizes += [low, tuned, high, (low[0], high[1]), (high[0], low[1])]
    return list(dict.fromkeys(sizes)) or SIZES_PX


def _profiles(bundle: Bundle) -> list[tuple[Size, Size, Size]]:
    """Smallest, best and largest (height, width) of each profile that the manifest lists."""
    manifest: dict[str, Any] = msgspec.json.decode(bundle.path(MANIFEST).read_bytes())
    corners = [
        [(int(profile[key][2]), int(profile[key][3])) for key in ("min", "opt", "max")]
        for engine in manifest.get("engines", {}).values()
        for profile in engine["profiles"]
    ]
    return [(low, tuned, high) for low, tuned, high in corners]


def _ranges(bundle: Bundle, images: Sequence[Image]) -> list[LayerRange]:
    manifest: Manifest = bundle.manifest
    if TOLERANCES[manifest.precision].range_share is None:
        return []
    engine = open_graphs(bundle, "onnx-cpu")
    table = compile_table(ANCESTRAL, manifest.prediction)
    made_up = [picture(*round_up(SIZES_PX[0], manifest.size_multiple_px))]
    ranges = activation_ranges(engine, manifest.precision, table, images or made_up)
    print(f"largest activations of {len(ranges)} layers and sums:")
    for entry in ranges[:_SHOWN_LAYERS]:
        print(
            f"  {entry.graph} {entry.layer}: {entry.largest:.4g}, {entry.share:.3%} of the range "
            f"of {manifest.precision}"
        )
    return ranges


def _out_of_range(ranges: list[LayerRange], tolerance: Tolerance) -> list[str]:
    bound = tolerance.range_share
    return [
        f"{entry.graph} {entry.layer} reaches {entry.largest:.4g}, {entry.share:.1%} of what the "
        f"precision holds; wanted is {bound:.0%} at most"
        for entry in ranges
        if bound is not None and not entry.share <= bound
    ]


def bisect(
    bundle: Bundle, reference: TorchEngine | GraphEngine, tolerance: Tolerance
) -> list[LayerParity]:
    """Say of each graph which layer departs first; returns the first of each that does."""
    manifest = bundle.manifest
    candidate = open_widened(bundle)
    size = round_up(SIZES_PX[0], manifest.size_multiple_px)
    y = to_model(picture(*size))
    z, noise, previous = (y[:, :, ::-1].copy(), y[..., ::-1].copy(), 0.5 * y)
    row = middle_row(manifest.prediction)
    step = {"z": z, "y": y, "noise": noise, "previous": previous, "row": row}
    first: list[LayerParity] = []
    for graph, inputs in (("predictor", {"y": y}), ("step", step)):
        layers = compare_layers(reference.layers(graph, inputs), candidate.layers(graph, inputs))
        departing = next((e for e in layers if not e.relative <= tolerance.layer), None)
        print(f"{graph}: {_departure(layers, departing, tolerance)}")
        first += [departing] if departing else []
    return first


def _departure(
    layers: list[LayerParity], departing: LayerParity | None, tolerance: Tolerance
) -> str:
    wanted = f"wanted is {tolerance.layer:.0e} at most"
    if departing is None:
        worst = max((entry.relative for entry in layers), default=0.0)
        return f"no layer of {len(layers)} departs (at most {worst:.1e} relative error; {wanted})"
    index = layers.index(departing)
    before = f"{layers[index - 1].relative:.1e} in the one before" if index else "it is the first"
    return (
        f"{departing.layer} (layer {index + 1} of {len(layers)}) departs first: relative error "
        f"{departing.relative:.1e}, {before}; {wanted}"
    )


def _show(name: str, parity: Parity) -> None:
    print(f"{name}: graphs at most {describe(parity.graphs)}")
    for entry in parity.samplers:
        print(f"  {describe_sampler(entry)}")


def read_images(folder: Path | None, multiple_px: int) -> list[Image]:
    """A few pictures to sample on, cut to a legal size; none without a folder."""
    if folder is None:
        return []
    side = round_up((_PICTURE_PX, _PICTURE_PX), multiple_px)[0]
    return read_crops(folder, side, _PICTURES)
