"""The ``engines`` directory of a bundle: plans, a card beside each, and which of them fit here."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from runtime.bundle import Bundle, sha256
from runtime.errors import EngineError
from runtime.plans.card import CARD_FORMAT, Card
from runtime.plans.devices import PORTABLE_FROM_SM, Device
from runtime.plans.identity import Difference, Identity, differences, rebuild_command
from runtime.plans.shapes import graphs_of

DIRECTORY = "engines"


@dataclass(frozen=True)
class Plans:
    """The engines of one opened bundle. A plan without its card is not an engine."""

    bundle: Bundle

    @property
    def directory(self) -> Path:
        return self.bundle.directory / DIRECTORY

    def cards(self) -> list[Card]:
        """Every readable card whose name is its identity's hash, in the order of the names."""
        return [card for path in self.card_paths() if (card := self._read(path)) is not None]

    def card_paths(self) -> list[Path]:
        """The files that may be cards, sorted."""
        return sorted(path for path in self.directory.glob("*.json") if path.name[0] != ".")

    def find(self, wanted: Identity) -> Card | None:
        """The engine of this identity, if it is here and its plan is whole."""
        card = self._read(self.directory / f"{wanted.key}.json")
        return card if card is not None and self._plan(card) is not None else None

    def load(self, wanted: Identity) -> bytes:
        """The plan of this identity.

        Raises EngineError where there is none, naming in what the nearest one differs, and where
        its file is damaged; both with the command that builds it.
        """
        command = rebuild_command(str(self.bundle.directory), wanted)
        card = self._read(self.directory / f"{wanted.key}.json")
        plan = None if card is None else self._plan(card)
        if plan is not None:
            return plan
        if (self.directory / f"{wanted.key}.json").is_file():
            raise EngineError(
                f"{self.directory / wanted.key}.plan is not the file that its card describes; "
                f"build it again: {command}"
            )
        raise EngineError(f"{self.explain(wanted)}; build it: {command}")

    def explain(self, wanted: Identity) -> str:
        """Why no engine here is the one wanted: the parts in which the nearest one differs."""
        others = [card.identity for card in self.cards() if card.identity.graph == wanted.graph]
        apart = min((differences(other, wanted) for other in others), key=len, default=None)
        if apart is None:
            return f"{self.directory} holds no engine of the {wanted.graph}"
        return _mismatch(self.directory, wanted.graph, apart)

    def obstacles(
        self, card: Card, versions: Mapping[str, str], device: Device | None
    ) -> list[Difference]:
        """In what ``card`` does not fit this bundle, the ``versions`` installed, or ``device``.

        Empty for an engine that ``device`` can load; with None, that some GPU can load.
        """
        identity, manifest = card.identity, self.bundle.manifest
        graph = graphs_of(manifest).get(identity.graph)
        version = versions.get(identity.library, f"no {identity.library} here")
        now = msgspec.structs.replace(
            identity,
            graph_sha256=manifest.files[graph.file].sha256 if graph else "no such graph",
            precision=manifest.precision,
            library_version=version,
            device=identity.device if _runs_on(identity, device) else str(device),
        )
        apart = differences(identity, now)
        if self._plan(card) is None:
            apart.append(Difference("plan", "other bytes than its card describes", "a whole file"))
        return apart

    def runnable(self, graph: str, library: str, version: str, device: Device) -> list[Card]:
        """The engines of ``graph`` that ``library`` in this ``version`` can run on ``device``.

        Raises EngineError where there is none, naming in what the nearest one differs and the
        command that builds one.
        """
        mine = [card for card in self.cards() if card.identity.graph == graph]
        candidates = [card for card in mine if card.identity.library == library]
        if not candidates:
            others = " (there are some of another library)" if mine else ""
            raise EngineError(
                f"{self.directory} holds no {library} engine of the {graph}{others}; build it: "
                f"python -m export.trt {shlex.quote(str(self.bundle.directory))} "
                f"--library {library}"
            )
        apart = {card.file: self._runtime_obstacles(card, version, device) for card in candidates}
        fitting = [card for card in candidates if not apart[card.file]]
        if fitting:
            return fitting
        nearest = min(candidates, key=lambda card: len(apart[card.file]))
        wanted = _aimed_at(nearest.identity, device)
        raise EngineError(
            f"{_mismatch(self.directory, graph, apart[nearest.file])}; build it: "
            f"{rebuild_command(str(self.bundle.directory), wanted)}"
        )

    def _runtime_obstacles(self, card: Card, version: str, device: Device) -> list[Difference]:
        apart = self.obstacles(card, {card.identity.library: version}, device)
        if card.identity.options.strip_weights:
            apart.append(Difference("plan", "no weights (--strip-weights)", "one with weights"))
        return apart

    def _read(self, path: Path) -> Card | None:
        """The card at ``path``; None for one that is damaged, too new, or under another's name."""
        try:
            data = self._bytes(path)
            card = None if data is None else msgspec.json.decode(data, type=Card)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        known = card is not None and card.format <= CARD_FORMAT and path.stem == card.identity.key
        return card if known else None

    def _plan(self, card: Card) -> bytes | None:
        """The plan that ``card`` describes, or None if its file is missing or another one."""
        plan = self._bytes(self.directory / card.file)
        whole = plan is not None and len(plan) == card.plan.bytes
        return plan if whole and plan is not None and sha256(plan) == card.plan.sha256 else None

    def _bytes(self, path: Path) -> bytes | None:
        """What ``path`` holds; None where it cannot be read or leads out of the bundle."""
        try:
            inside = path.resolve().is_relative_to(self.bundle.directory.resolve())
            return path.read_bytes() if inside else None
        except OSError:
            return None


def _mismatch(directory: Path, graph: str, apart: list[Difference]) -> str:
    parts = "; ".join(str(part) for part in apart)
    return f"no engine of the {graph} in {directory} is the one wanted ({parts})"


def _runs_on(identity: Identity, device: Device | None) -> bool:
    """Whether an engine of this identity was built for ``device``; None stands for any."""
    if device is None:
        return True
    if identity.library == "tensorrt":
        return identity.device == str(device)
    return device.sm in identity.targets if identity.targets else device.sm >= PORTABLE_FROM_SM


def _aimed_at(identity: Identity, device: Device) -> Identity:
    """What to build so that ``device`` is served too: the same, with its weights in the plan."""
    options = msgspec.structs.replace(identity.options, strip_weights=False)
    targets = identity.targets
    if identity.library != "tensorrt" and not _runs_on(identity, device):
        targets = tuple(sorted({*targets, device.sm}))
    return msgspec.structs.replace(identity, options=options, targets=targets)
