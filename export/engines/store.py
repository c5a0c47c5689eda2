"""Writing into the ``engines`` directory of a bundle: one writer at a time, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from filelock import BaseFileLock, FileLock, Timeout

from runtime.bundle import MANIFEST
from runtime.errors import BundleError, OutputError
from runtime.files import to_json, write_whole
from runtime.plans.card import Card
from runtime.plans.store import DIRECTORY, Plans

_LOCK = ".lock"


@dataclass(frozen=True)
class Store(Plans):
    """The engines of one opened bundle, for who builds them."""

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
            if new and not self.card_paths():
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

    def keep(self, engines: Sequence[tuple[Card, bytes]]) -> None:
        """Write each plan, the card that makes it an engine, and the manifest's list of them.

        To be called while :meth:`writing`. Raises BundleError; then all is as it was.
        """
        staged: dict[Path, Path] = {}
        try:
            path = self.bundle.directory / MANIFEST
            staged[path] = self._stage(path, self._manifest([card for card, _ in engines]))
            for card, plan in engines:
                path = self.directory / card.file
                staged[path] = self._stage(path, plan)
                named = path.with_suffix(".json")
                staged[named] = self._stage(named, to_json(card))
            # All have their room on the disk; the manifest's folder may still refuse, so it is
            # first. A plan without its card is no engine, so the card is last.
            for path, beside in staged.items():
                beside.replace(path)
        except (OSError, OutputError) as error:
            for beside in staged.values():
                beside.unlink(missing_ok=True)
            raise self._unwritable(error.__cause__ or error) from error

    def _stage(self, path: Path, data: bytes) -> Path:
        """Write what is to become ``path`` under a name that is swept if we are killed."""
        beside = self.directory / f".{path.name}"
        write_whole(beside, data)
        return beside

    def _manifest(self, new: Sequence[Card]) -> bytes:
        """The manifest with ``engines`` up to date; every other entry stays as it is."""
        manifest: dict[str, Any] = msgspec.json.decode(
            (self.bundle.directory / MANIFEST).read_bytes()
        )
        cards = {card.identity.key: card for card in (*self.cards(), *new)}
        manifest["engines"] = {key: _summary(cards[key]) for key in sorted(cards)}
        return to_json(manifest)

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
