"""Which pictures a batch reads and which files it writes, all settled before any work."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ImageError, OptionError, OutputError
from runtime.images import SUFFIXES, check_output

COMPARISON = ".compare.png"
STD = ".std.png"


@dataclass(frozen=True)
class Job:
    """One picture, the file its deblurred form goes to, and the views wanted beside that file."""

    picture: Path
    target: Path
    comparison: Path | None = None
    std: Path | None = None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that the job writes."""
        views = (self.comparison, self.std)
        return (self.target, *(view for view in views if view is not None))


@dataclass(frozen=True)
class Batch:
    """The jobs, and the folder they write into: None where a single picture becomes one file."""

    jobs: tuple[Job, ...]
    folder: Path | None


@dataclass(frozen=True)
class _Found:
    """A picture, and where it lies below the input that named it."""

    picture: Path
    below: Path


def plan_batch(
    inputs: Sequence[str], output: str, *, comparison: bool = False, std: bool = False
) -> Batch:
    """Settle what is read and written; creates the output folder.

    ``inputs`` are files, folders (read with all they hold, their tree is kept) and patterns such
    as ``photos/**/*.jpg``. ``output`` is a folder, or a file where one picture is named. Raises
    OptionError, ImageError and OutputError where it cannot be done as asked.
    """
    try:
        folder = _output_folder(inputs, output)
        pictures = _find_all(inputs, folder)
    except OSError as error:
        raise ImageError(
            f"cannot look at {error.filename}: {error.strerror}; allow reading it, or name other "
            "pictures"
        ) from error
    if folder is None:
        targets = [Path(output)]
    else:
        targets = [(folder / found.below).with_suffix(".png") for found in pictures]
    jobs = tuple(
        Job(
            found.picture,
            target,
            target.with_suffix(COMPARISON) if comparison else None,
            target.with_suffix(STD) if std else None,
        )
        for found, target in zip(pictures, targets, strict=True)
    )
    _check_distinct(jobs)
    if folder is None:
        check_output(jobs[0].target)
    else:
        _create(folder)
    return Batch(jobs, folder)


def _output_folder(inputs: Sequence[str], output: str) -> Path | None:
    """The folder that ``output`` means, or None where it means the file of the one picture."""
    path = Path(output)
    if path.is_dir() or output.endswith(os.sep):
        return path
    suffix = path.suffix.lower()
    one_file = len(inputs) == 1 and not Path(inputs[0]).is_dir() and not _is_pattern(inputs[0])
    if one_file and suffix:
        return None
    if suffix in SUFFIXES or path.is_file():
        raise OptionError(
            f"the output {output} is the name of a file, which one picture can become, but not "
            "several; give a folder"
        )
    return path


def _is_pattern(text: str) -> bool:
    """Whether ``text`` is to be matched; a file that exists is meant as it is, brackets and all."""
    return glob.has_magic(text) and not Path(text).exists()


def _find_all(inputs: Sequence[str], folder: Path | None) -> list[_Found]:
    folders = sum(Path(text).is_dir() for text in inputs)
    found: list[_Found] = []
    for text in inputs:
        path = Path(text)
        if _is_pattern(text):
            found += _match(text, folder)
        elif path.is_dir():
            # Several folders may well hold the same names: each keeps its own.
            prefix = Path(path.absolute().name) if folders > 1 else Path()
            found += _walk(path, prefix, folder)
        elif path.exists():
            found.append(_Found(path, Path(path.name)))
        else:
            raise ImageError(f"no file or folder {text}; check the name")
    return list({each.picture: each for each in found}.values())


def _match(pattern: str, output: Path | None) -> list[_Found]:
    """The pictures that match, below the folder where the pattern begins to vary."""
    fixed = Path(*_fixed_parts(Path(pattern)))
    # Unlike Path.glob, this leaves hidden files out, as a shell does.
    paths = (Path(text) for text in glob.glob(pattern, recursive=True))  # noqa: PTH207
    found = [_Found(path, path.relative_to(fixed)) for path in _only_pictures(paths, output)]
    if not found:
        raise OptionError(f"no pictures match {pattern}; wanted are {', '.join(SUFFIXES)}")
    return found


def _fixed_parts(pattern: Path) -> Iterable[str]:
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _walk(folder: Path, prefix: Path, output: Path | None) -> list[_Found]:
    if output is not None and folder.resolve().is_relative_to(output.resolve()):
        raise OptionError(
            f"the output {output} is or holds the folder {folder}; "
            "give a folder of its own, so that results are not taken for pictures"
        )
    visible = (
        path
        for path in folder.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    found = [
        _Found(path, prefix / path.relative_to(folder)) for path in _only_pictures(visible, output)
    ]
    if not found:
        raise OptionError(f"no pictures in {folder}; wanted are {', '.join(SUFFIXES)}")
    return found


def _only_pictures(paths: Iterable[Path], output: Path | None) -> list[Path]:
    """Those that look like pictures, in order, without what an earlier run put into ``output``."""
    inside = None if output is None else output.resolve()
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not (inside is not None and path.resolve().is_relative_to(inside))
    )


def _check_distinct(jobs: Sequence[Job]) -> None:
    """Raise OptionError where two outputs, or an output and a picture, would be one file."""
    written = Counter(path for job in jobs for path in job.outputs)
    twice = [path for path, count in written.items() if count > 1]
    if twice:
        sources = [str(job.picture) for job in jobs if twice[0] in job.outputs]
        raise OptionError(
            f"{' and '.join(sources)} would both become {twice[0]}; give them different names "
            "or folders"
        )
    pictures = {job.picture.resolve() for job in jobs}
    for path in written:
        if path.resolve() in pictures:
            raise OptionError(f"{path} is one of the pictures; choose another output")


def _create(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot create the folder {folder}: {error.strerror}; choose another output"
        ) from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"no permission to write into {folder}; choose another output")
