"""Building the engines of a bundle: what is missing is built, proved, measured and then kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from export.engines.library import Built, Library
from export.engines.memory import describe_bytes, ladder, largest, read_memory
from export.engines.plan import MIB, BuildConfig
from export.engines.progress import Progress
from export.engines.proof import prove
from export.engines.store import Store
from runtime.bundle import Bundle, FileEntry, sha256
from runtime.errors import OptionError
from runtime.files import write_whole
from runtime.plans.card import CARD_FORMAT, Card
from runtime.plans.identity import Identity
from runtime.plans.shapes import Counts, Size, SizeRange, graphs_of

Say = Callable[[str], None]


@dataclass(frozen=True)
class Finished:
    """The card of an engine that is in the bundle now, and whether this run built it."""

    card: Card
    is_new: bool


@dataclass(frozen=True)
class Builder:
    """A library, a bundle, and where to say what happens."""

    library: Library
    bundle: Bundle
    say: Say

    def identities(self, config: BuildConfig) -> dict[str, Identity]:
        """What ``config`` asks for, graph by graph."""
        manifest = self.bundle.manifest
        return {
            name: Identity(
                graph=name,
                graph_sha256=manifest.files[graph.file].sha256,
                library=self.library.name,
                library_version=self.library.version,
                device=self.library.device(config.targets),
                targets=config.targets,
                precision=manifest.precision,
                profiles=config.profiles(name),
                options=config.options,
            )
            for name, graph in graphs_of(manifest).items()
        }

    def build(self, identity: Identity, timing_cache: Path | None = None) -> tuple[Card, bytes]:
        """Build and prove one engine; nothing is written but the timing cache.

        Raises EngineError with what the builder said, or where the proof fails.
        """
        graph = graphs_of(self.bundle.manifest)[identity.graph]
        model = self.bundle.path(graph.file).read_bytes()
        with closing(Progress(identity.graph)) as progress:
            built = self.library.build(
                model,
                graph.file,
                identity.profiles,
                identity.options,
                identity.targets,
                progress,
                None if timing_cache is None else _read_or_empty(timing_cache),
            )
        if timing_cache is not None and built.timing_cache is not None:
            write_whole(timing_cache, built.timing_cache)
        for warning in built.warnings:
            self.say(f"{self.library.name} warns: {warning}")
        return self._card(identity, model, built), built.plan

    def _card(self, identity: Identity, model: bytes, built: Built) -> Card:
        graph = graphs_of(self.bundle.manifest)[identity.graph]
        options = identity.options
        memory = read_memory(built.log, identity.profiles, graph, built.scratch_bytes)
        left_out = options.strip_weights or options.refit
        proof = prove(identity.precision, model, built, memory.weights, weights_left_out=left_out)
        plan = FileEntry(len(built.plan), sha256(built.plan))
        return Card(CARD_FORMAT, identity, plan, memory, proof, round(built.seconds, 3))


def build_engines(
    bundle: Bundle,
    library: Library,
    config: BuildConfig,
    *,
    memory_limit_mib: int | None = None,
    timing_cache: Path | None = None,
    rebuild: bool = False,
    say: Say = print,
) -> list[Finished]:
    """The engines of ``bundle`` that ``config`` asks for; those that are not there are built.

    With ``memory_limit_mib`` both engines must fit it together, or neither is kept. Raises
    OptionError, EngineError and BundleError; the bundle then has no engine that is not proved.
    """
    library.check(config.options, config.targets, timing_cache=timing_cache is not None)
    builder, store = Builder(library, bundle, say), Store(bundle)
    finished: list[Finished] = []
    unkept: list[tuple[Card, bytes]] = []
    with store.writing(lambda: say(f"another build holds {store.directory}; waiting for it")):
        if timing_cache is None and not library.cross_builds:
            timing_cache = store.directory / _timing_file(library)
        for identity in builder.identities(config).values():
            card = None if rebuild else store.find(identity)
            finished.append(
                Finished(card, False) if card else _new(builder, identity, timing_cache, unkept)
            )
            # What took long is kept even if the next one fails; what takes seconds is kept whole.
            if memory_limit_mib is None and not library.cross_builds:
                _keep(store, unkept)
        if memory_limit_mib is not None:
            _check_memory(builder, config, [entry.card for entry in finished], memory_limit_mib)
        _keep(store, unkept)
    return finished


def _new(
    builder: Builder,
    identity: Identity,
    timing_cache: Path | None,
    unkept: list[tuple[Card, bytes]],
) -> Finished:
    card, plan = builder.build(identity, timing_cache)
    unkept.append((card, plan))
    return Finished(card, True)


def _keep(store: Store, unkept: list[tuple[Card, bytes]]) -> None:
    if unkept:
        store.keep(unkept)
        unkept.clear()


def _check_memory(builder: Builder, config: BuildConfig, cards: list[Card], limit_mib: int) -> None:
    """Refuse engines that together take more than the limit, naming the largest size that fits."""
    limit = limit_mib * MIB
    needs = [sum(card.memory.needed(k) for card in cards) for k in range(len(config.sizes))]
    worst = max(range(len(needs)), key=needs.__getitem__)
    if needs[worst] <= limit:
        return
    raise OptionError(
        f"the profile {config.sizes[worst]} needs {describe_bytes(needs[worst])} for both engines "
        f"(scratch, weights, inputs and outputs); --memory-limit is {describe_bytes(limit)}: "
        f"{_advise(builder, config, worst, needs[worst], limit)}; nothing was kept"
    )


def _advise(builder: Builder, config: BuildConfig, worst: int, needed: int, limit: int) -> str:
    """The largest size that fits, with the batches asked for and with one sample."""
    sizes = config.sizes[worst]
    rungs = ladder(sizes, builder.bundle.manifest.size_multiple_px)
    single = replace(config, pictures=Counts(), samples=Counts())
    advice = []
    for asked in dict.fromkeys((config, single)):
        measure = _measure(builder, asked, sizes, needed / _pixels(config, sizes.max))
        top = needed if asked == config else measure(sizes.max)
        size = sizes.max if top <= limit else largest(rungs, measure, top, limit)
        batch = f"--pictures {asked.pictures} --samples {asked.samples}"
        advice.append(
            f"the largest size of this shape that fits with {batch} is {size}"
            if size
            else f"no size of this shape fits with {batch}"
        )
    reason = "measured" if builder.library.cross_builds else "in proportion to the pixels"
    return f"{', '.join(advice)} ({reason})"


def _measure(
    builder: Builder, config: BuildConfig, sizes: SizeRange, bytes_per_pixel: float
) -> Callable[[Size], int]:
    """What both engines need for a largest size, in bytes.

    Measured on engines for that size where a build takes seconds; else in proportion to the
    pixels of a batch.
    """

    def build(top: Size) -> int:
        floor = Size(1, 1)
        corners = SizeRange(sizes.min.within(floor, top), sizes.opt.within(floor, top), top)
        smaller = replace(config, sizes=(corners,))
        cards = [builder.build(identity)[0] for identity in builder.identities(smaller).values()]
        return sum(card.memory.needed(0) for card in cards)

    def scale(top: Size) -> int:
        return int(bytes_per_pixel * _pixels(config, top))

    return build if builder.library.cross_builds else scale


def _pixels(config: BuildConfig, size: Size) -> int:
    return size.pixels * config.pictures.max * config.samples.max


def _timing_file(library: Library) -> str:
    """One for each version and GPU: a cache serves no other."""
    text = f"{library.name} {library.version} {library.device(())}"
    return f"timing-{hashlib.sha256(text.encode()).hexdigest()[:12]}.cache"


def _read_or_empty(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise OptionError(
            f"cannot read the timing cache {path}: {error.strerror}; name another file"
        ) from error
