"""How the pictures of a folder were made, kept beside them, so that a batch can be gone on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from runtime.batch.plan import Job
from runtime.batch.settings import Recipe, differences
from runtime.errors import OptionError, OutputError
from runtime.files import to_json, write_whole
from runtime.images import SUFFIXES, is_whole_png
from runtime.version import __version__

NAME = "dvsr-batch.json"
FORMAT = 1


class Journal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds: every picture of the folder but ``others`` was made with ``recipe``.

    ``others`` were there before; they are named relative to the folder.
    """

    format: int
    made_by: str
    recipe: Recipe
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remaining:
    """The jobs still to do, and how many were found done."""

    jobs: tuple[Job, ...]
    done: int


def begin(folder: Path, jobs: Sequence[Job], recipe: Recipe, *, overwrite: bool) -> Remaining:
    """Compare ``folder`` with what is to be written there; returns what is left to do.

    Done is a job whose outputs are all there, whole, made with ``recipe``, and no older than the
    picture. With ``overwrite`` nothing counts as done, and outputs made in another way are deleted
    now, so that a batch that is interrupted leaves no mixture. Raises OptionError where a mixture
    would come about, and OutputError where the folder cannot be changed.
    """
    found = _read(folder / NAME)
    others = _others(folder, found, recipe, overwrite=overwrite)
    outputs = {str(output.relative_to(folder)) for job in jobs for output in job.outputs}
    in_the_way = {name for name in outputs & others if (folder / name).exists()}
    if in_the_way and not overwrite:
        raise OptionError(
            f"{folder} holds {len(in_the_way)} of the pictures to be written already, such as "
            f"{min(in_the_way)}, and no record of how they were made; give another folder, or "
            "--overwrite"
        )
    _delete(folder, in_the_way)
    journal = Journal(
        FORMAT, f"dvsr-edge {__version__}", recipe, tuple(sorted(others - in_the_way))
    )
    if journal != found:
        write_whole(folder / NAME, to_json(journal))
    remaining = tuple(job for job in jobs if overwrite or not _is_done(job))
    return Remaining(remaining, len(jobs) - len(remaining))


def _others(folder: Path, found: Journal | None, recipe: Recipe, *, overwrite: bool) -> set[str]:
    """The pictures in ``folder`` that ``recipe`` did not make; raises OptionError."""
    if found is not None and found.recipe == recipe:
        return set(found.others)
    others = _pictures_in(folder)
    if found is not None and others and not overwrite:
        raise OptionError(
            f"{folder} was made with other settings ({differences(found.recipe, recipe)}); "
            "give another folder, the same settings, or --overwrite"
        )
    return others


def _is_done(job: Job) -> bool:
    try:
        changed = job.picture.stat().st_mtime_ns
        return all(
            output.stat().st_mtime_ns >= changed and is_whole_png(output) for output in job.outputs
        )
    except OSError:
        return False


def _read(path: Path) -> Journal | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror}") from error
    try:
        journal = msgspec.json.decode(data, type=Journal)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise OptionError(
            f"{path} is no journal that this version reads ({error}); give another folder, or "
            "delete that file"
        ) from error
    if journal.format != FORMAT:
        raise OptionError(
            f"{path} has format {journal.format}, this version reads {FORMAT}; give another folder"
        )
    return journal


def _pictures_in(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
    }


def _delete(folder: Path, names: set[str]) -> None:
    for name in names:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot delete {folder / name}: {error.strerror}") from error
