"""The ``engines`` directory of a bundle: plans, a card beside each, one writer at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from filelock import BaseFileLock, FileLock, Timeout

from export.engines.devices import PORTABLE_FROM_SM, Device
from export.engines.identity import (
    CARD_FORMAT,
    Card,
    Difference,
    Identity,
    differences,
    rebuild_command,
)
from export.engines.plan import graphs_of
from runtime.bundle import MANIFEST, Bundle, sha256
from runtime.errors import BundleError, EngineError, OutputError
from runtime.files import to_json, write_whole

DIRECTORY = "engines"
_LOCK = ".lock"


@dataclass(frozen=True)
class Store:
    """The engines of one opened bundle. A plan without its card is not an engine."""

    bundle: Bundle

    @property
    def directory(self) -> Path:
        return self.bundle.directory / DIRECTORY

    def cards(self) -> list[Card]:
        """Every readable card whose name is its identity's hash, in the order of the names."""
        return [card for path in self._card_paths() if (card := _read_card(path)) is not None]

    def find(self, wanted: Identity) -> Card | None:
        """The engine of this identity, if it is here and its plan is whole."""
        path = self.directory / f"{wanted.key}.json"
        card = _read_card(path) if path.is_file() else None
        return card if card is not None and self._is_whole(card) else None

    def load(self, wanted: Identity) -> bytes:
        """The plan of this identity.

        Raises EngineError where there is none, naming in what the nearest one differs, and where
        its file is damaged; both with the command that builds it.
        """
        command = rebuild_command(str(self.bundle.directory), wanted)
        card = self.find(wanted)
        if card is not None:
            return (self.directory / card.file).read_bytes()
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
        parts = "; ".join(str(part) for part in apart)
        return f"no engine of the {wanted.graph} in {self.directory} is the one wanted ({parts})"

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
        if not self._is_whole(card):
            apart.append(Difference("plan", "other bytes than its card describes", "a whole file"))
        return apart

    @contextmanager
    def writing(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the directory for one build; ``waiting`` is called once if another holds it.

        Sweeps what killed builds left. If nothing was kept, the bundle is as it was. Raises
        BundleError where the directory cannot be written.
        """
        new = not self.directory.exists()
        try:
            lock = self._locked(waiting)
        except (OSError, NotImplementedError) as error:
            raise self._unwritable(error) from error
        try:
            self._sweep()
            yield
        finally:
            if new and not self._card_paths():
                self._sweep()
                self._remove_empty()
            lock.release()

    def _locked(self, waiting: Callable[[], None]) -> BaseFileLock:
        while True:
            self.directory.mkdir(exist_ok=True)
            lock = FileLock(self.directory / _LOCK)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                waiting()
                try:
                    lock.acquire()
                except FileNotFoundError:
                    continue  # the other build failed and took the empty directory with it
            return lock

    def keep(self, card: Card, plan: bytes) -> None:
        """Write a plan, then the card that makes it an engine, then the manifest's list of them.

        To be called while :meth:`writing`. Raises BundleError; then there is no new engine.
        """
        path = self.directory / card.file
        named = path.with_suffix(".json")
        written: list[Path] = []
        try:
            write_whole(path, plan)
            written = [named, path]
            write_whole(named, to_json(card))
            self._list_engines()
        except OutputError as error:
            for half in written:
                half.unlink(missing_ok=True)
            raise self._unwritable(error.__cause__) from error

    def _list_engines(self) -> None:
        """Bring ``engines`` in the manifest up to date; every other entry stays as it is."""
        path = self.bundle.directory / MANIFEST
        manifest: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        manifest["engines"] = {card.identity.key: _summary(card) for card in self.cards()}
        write_whole(path, to_json(manifest))

    def _card_paths(self) -> list[Path]:
        return sorted(path for path in self.directory.glob("*.json") if path.name[0] != ".")

    def _is_whole(self, card: Card) -> bool:
        try:
            plan = (self.directory / card.file).read_bytes()
        except OSError:
            return False
        return len(plan) == card.plan.bytes and sha256(plan) == card.plan.sha256

    def _sweep(self) -> None:
        """Remove half-written files and plans without a card: nobody else writes while we hold."""
        for path in self.directory.glob(".*"):
            if path.name != _LOCK:
                path.unlink(missing_ok=True)
        for path in self.directory.glob("*.plan"):
            if not path.with_suffix(".json").is_file():
                path.unlink(missing_ok=True)

    def _remove_empty(self) -> None:
        left = [path for path in self.directory.iterdir() if path.name != _LOCK]
        if not left:
            (self.directory / _LOCK).unlink(missing_ok=True)
            self.directory.rmdir()

    def _unwritable(self, error: BaseException | None) -> BundleError:
        reason = getattr(error, "strerror", None) or str(error)
        return BundleError(
            f"cannot write engines into {self.directory}: {reason}; make room, or copy the bundle "
            "to where you may write, and build there"
        )


def _runs_on(identity: Identity, device: Device | None) -> bool:
    """Whether an engine of this identity was built for ``device``; None stands for any."""
    if device is None:
        return True
    if identity.library == "tensorrt":
        return identity.device == str(device)
    return device.sm in identity.targets if identity.targets else device.sm >= PORTABLE_FROM_SM


def _read_card(path: Path) -> Card | None:
    """The card at ``path``; None for one that is damaged, too new, or under another's name."""
    try:
        card = msgspec.json.decode(path.read_bytes(), type=Card)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    known = card.format <= CARD_FORMAT and path.stem == card.identity.key
    return card if known else None


def _summary(card: Card) -> dict[str, Any]:
    identity, memory = card.identity, card.memory
    profiles = [
        {
            **msgspec.to_builtins(profile),
            "scratch_bytes": memory.scratch[index],
            "needed_bytes": memory.needed(index),
        }
        for index, profile in enumerate(identity.profiles)
    ]
    return {
        "file": f"{DIRECTORY}/{card.file}",
        "graph": identity.graph,
        "precision": identity.precision,
        "library": identity.library,
        "library_version": identity.library_version,
        "device": identity.device,
        "plan_bytes": card.plan.bytes,
        "weights_bytes": memory.weights,
        "profiles": profiles,
    }
