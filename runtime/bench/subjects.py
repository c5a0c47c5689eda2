"""What is timed: sessions on engines, and peers, which do the same work another way."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.bench.cases import Case, Work
from runtime.bench.clock import Timed
from runtime.bench.pictures import make_pictures
from runtime.bundle import MANIFEST, Bundle, sha256
from runtime.engines import Engine, open_engine
from runtime.errors import EngineError, OptionError
from runtime.noise import normals
from runtime.samplers import COLUMNS, Table, compile_table, with_steps
from runtime.session import Session

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Noise = Callable[[int, int], Floats]


class Peer(Protocol):
    """Another way to do what a session does, on the same weights; :attr:`name` for people."""

    name: str

    def deblur(self, images: Image, table: Table, samples: int, noise: Noise | None) -> Image:
        """Deblur uint8 RGB (N, H, W, 3) of any size.

        ``noise(sample, step)`` is the field (3, H, W) to use, padded size; None: draw one as the
        library at hand would.
        """

    def close(self) -> None:
        """Let go of the weights."""


# Peers by name: the module that makes them, imported only when one is asked for by name. Those
# that need the network itself live above this package; this is the one place that points upwards.
PEERS = {
    "onnx-plain": "runtime.bench.plain_onnx",
    "tensorrt-plain": "runtime.bench.plain_tensorrt",
    "torch-eager": "export.peers",
    "torch-bf16": "export.peers",
    "torch-compile": "export.peers",
}


@dataclass(frozen=True)
class Options:
    """How every session is opened and called, the same for all cases of one run."""

    preset: str | None = None
    seed: int = 0
    graph: str = "auto"
    memory_mib: int | None = None
    checkpoint: Path | None = None

    @property
    def session(self) -> dict[str, Any]:
        """Keyword arguments of Session; what is left at its default is not passed."""
        chosen = {"memory_mib": self.memory_mib, "graph": self.graph}
        return {k: v for k, v in chosen.items() if v not in (None, "auto")}


class EngineSubject:
    """A bundle opened on an engine, for any number of works."""

    def __init__(self, engine: str, bundle: Path, options: Options) -> None:
        self._options = options
        self._name = engine
        self.session = Session(bundle, engine=engine, **options.session)
        self.bundle = self.session.bundle
        self.description = self.session.engine
        # Bare calls are timed on an engine of their own, so that nothing of the session's counts.
        self._bare: Engine | None = None

    def case(self, work: Work) -> Case:
        return case_of(self._name, "engine", self.bundle, work, self._options)

    def timed(self, work: Work) -> Timed:
        """The call to time; its picture is drawn now."""
        images = make_pictures(work.batch, work.height_px, work.width_px)
        return Timed(
            call=lambda: self.deblur(images, work),
            stages=lambda: self.session.timings,
            floor=lambda: self._floor(work),
        )

    def deblur(self, images: Image, work: Work) -> Image:
        """One call as a user would make it."""
        result: Image = self.session.deblur(
            images,
            steps=work.steps,
            samples=work.samples,
            seed=self._options.seed,
            preset=self._options.preset,
        )
        return result

    def close(self) -> None:
        self.session.close()
        self._bare = None

    def _floor(self, work: Work) -> Callable[[], object] | None:
        """The engine calls that ``work`` needs, and nothing between them.

        None for an engine that keeps its state on a device: its single calls copy to and fro, which
        its loop never does. Its own stages tell what is outside of it.
        """
        if self._bare is None:
            self._bare = open_engine(self._name, self.bundle)
        if hasattr(self._bare, "run") or hasattr(self._bare, "sample"):
            return None
        engine, table = self._bare, table_of(self.bundle, work, self._options)
        multiple = self.bundle.manifest.size_multiple_px
        height, width = (
            -(-side // multiple) * multiple for side in (work.height_px, work.width_px)
        )
        y = np.zeros((work.batch, 3, height, width), np.float32)
        rows = np.ascontiguousarray(table.rows, np.float32).reshape(-1, len(COLUMNS))

        def call() -> None:
            engine.predict(y)
            for _ in range(work.samples):
                for row in rows:
                    engine.step(y, y, y, y, row)

        return call


class PeerSubject:
    """A peer that stands beside the engines, on the same bundle."""

    def __init__(self, name: str, bundle: Bundle, options: Options) -> None:
        if name not in PEERS:
            raise OptionError(f"got peer '{name}'; wanted is one of {', '.join(PEERS)}")
        module = importlib.import_module(PEERS[name])
        self._options, self._name = options, name
        self.bundle = bundle
        self._peer: Peer = module.open_peer(name, bundle, options.checkpoint)
        self.description = self._peer.name

    def case(self, work: Work) -> Case:
        return case_of(self._name, "peer", self.bundle, work, self._options)

    def timed(self, work: Work) -> Timed:
        """The call to time; the peer draws its own noise, as it would alone."""
        images = as_batch(make_pictures(work.batch, work.height_px, work.width_px))
        table = table_of(self.bundle, work, self._options)
        return Timed(call=lambda: self._peer.deblur(images, table, work.samples, None))

    def deblur(self, images: Image, work: Work) -> Image:
        """One call with the runtime's noise, so that the picture can be compared."""
        batch = as_batch(images)
        multiple = self.bundle.manifest.size_multiple_px
        height, width = (-(-side // multiple) * multiple for side in batch.shape[1:3])

        def noise(sample: int, step: int) -> Floats:
            return normals(self._options.seed, sample, step, height, width)

        table = table_of(self.bundle, work, self._options)
        result = self._peer.deblur(batch, table, work.samples, noise)
        return result if images.ndim == 4 else result[0]

    def close(self) -> None:
        self._peer.close()


Subject = EngineSubject | PeerSubject


def as_batch(images: Image) -> Image:
    """(H, W, 3) or (N, H, W, 3) to (N, H, W, 3)."""
    return images if images.ndim == 4 else images[None]


def table_of(bundle: Bundle, work: Work, options: Options) -> Table:
    """The sampler table a session would use for ``work``."""
    preset = bundle.preset(options.preset)
    if work.steps == preset.sampler.steps:
        return preset.table
    return compile_table(with_steps(preset.sampler, work.steps), bundle.manifest.prediction)


def case_of(subject: str, kind: str, bundle: Bundle, work: Work, options: Options) -> Case:
    """What is known of a case before it is measured."""
    manifest = bundle.manifest
    return Case(
        subject=subject,
        kind="peer" if kind == "peer" else "engine",
        bundle=manifest.name,
        build=bundle.directory.resolve().name,
        bundle_sha256=sha256(bundle.path(MANIFEST).read_bytes()),
        precision=manifest.precision,
        work=work,
        preset=options.preset or manifest.default_preset,
        seed=options.seed,
        graph=options.graph,
        memory_mib=options.memory_mib,
    )


def open_engines(
    names: Sequence[str], bundle: Path, options: Options
) -> tuple[list[EngineSubject], dict[str, str]]:
    """The named engines on one bundle, and for each that cannot run here the reason."""
    opened: list[EngineSubject] = []
    refused: dict[str, str] = {}
    for name in names:
        try:
            opened.append(EngineSubject(name, bundle, options))
        except EngineError as error:
            refused[name] = str(error)
    return opened, refused
