"""The bundle: one directory that holds everything needed to deblur, and nothing outside it.

    manifest.json   what this module's Manifest says
    tables.json     sampler presets as rows of numbers (Tables)
    *.onnx          predictor and denoiser step
    report.json     how far the graphs are from the network they were made of

Files are named relative to the directory, each with its size and sha256. A newer runtime reads
every older format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import msgspec
import numpy as np

from runtime.errors import BundleError, OptionError
from runtime.samplers import COLUMNS, Prediction, SamplerConfig, Table

FORMAT = 1
MANIFEST = "manifest.json"
TABLES = "tables.json"
REPORT = "report.json"
SHIPPED = Path(__file__).with_name("bundles")
DEFAULT = "tiny"
MAX_STRENGTH = 2.0

T = TypeVar("T")


class FileEntry(msgspec.Struct, frozen=True):
    """Size and checksum of one file."""

    bytes: int
    sha256: str


class Tensor(msgspec.Struct, frozen=True):
    """One input or output of a graph; a dimension is a number or the name of a free size."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Graph(msgspec.Struct, frozen=True):
    """One ONNX file and its signature."""

    file: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Programs(msgspec.Struct, frozen=True):
    """The two graphs as programs of torch.export, for the engine ``torch``: their files."""

    predictor: str
    step: str


class Tiling(msgspec.Struct, frozen=True):
    """What decides whether a picture is cut into tiles, and how.

    ``receptive_radius_px`` is how far a pixel's influence can reach; ``working_bytes_per_px`` is
    the memory of the onnx-cpu engine for each pixel given to it, measured; None where it was not.
    """

    receptive_radius_px: int
    working_bytes_per_px: int | None = None


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What ``manifest.json`` holds; fields with a default came later, and older bundles lack them.

    ``value_range`` is the model's (lowest, highest) for uint8 0 and 255; height and width given to
    the graphs are multiples of ``size_multiple_px``. ``weights`` says where the weights came from.
    ``programs`` is None where the bundle carries none, which most do not.
    """

    format: int
    name: str
    made_by: str
    prediction: Prediction
    precision: str
    opset: int
    size_multiple_px: int
    value_range: tuple[float, float]
    predictor: Graph
    step: Graph
    default_preset: str
    tiling: Tiling
    weights: dict[str, Any]
    files: dict[str, FileEntry]
    programs: Programs | None = None


class Preset(msgspec.Struct, frozen=True):
    """A named way to sample: the recipe, the number of samples averaged, and the compiled rows.

    With ``self_ensemble`` the samples are drawn on the picture turned (:mod:`runtime.turns`); what
    they change in it is multiplied by ``strength``, above 0 and at most 2 (:mod:`runtime.answer`).
    """

    summary: str
    samples: int
    sampler: SamplerConfig
    start: float
    rows: tuple[tuple[float, ...], ...]
    self_ensemble: bool = False
    strength: float = 1.0

    @property
    def table(self) -> Table:
        return Table(self.start, np.asarray(self.rows, np.float64).reshape(-1, len(COLUMNS)))


class Tables(msgspec.Struct, frozen=True):
    """What ``tables.json`` holds; ``columns`` names the numbers of each row."""

    columns: tuple[str, ...]
    presets: dict[str, Preset]


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: every file listed was there and had its checksum when it was opened."""

    directory: Path
    manifest: Manifest
    presets: dict[str, Preset]

    def path(self, name: str) -> Path:
        """The file ``name`` of this bundle."""
        return self.directory / name

    def preset(self, name: str | None) -> Preset:
        """The preset of that name, or the default one; raises OptionError."""
        name = self.manifest.default_preset if name is None else name
        if name not in self.presets:
            raise OptionError(
                f"got preset '{name}'; bundle '{self.manifest.name}' has "
                f"{', '.join(sorted(self.presets))}"
            )
        return self.presets[name]


def open_bundle(where: str | Path | None = None) -> Bundle:
    """Open the bundle at ``where``: a directory, a shipped one's name, or None for the default.

    Raises BundleError where anything is missing, damaged, outside the directory, or too new.
    """
    directory = find_bundle(where)
    manifest = _read_manifest(directory)
    for name, entry in manifest.files.items():
        _check_file(directory, name, entry)
    programs = manifest.programs
    optional = () if programs is None else (programs.predictor, programs.step)
    for name in (TABLES, manifest.predictor.file, manifest.step.file, *optional):
        if name not in manifest.files:
            raise BundleError(
                f"{directory / MANIFEST} uses {name} but lists no checksum for it; export it again"
            )
    presets = _read_tables(directory).presets
    if manifest.default_preset not in presets:
        raise BundleError(
            f"{directory / MANIFEST} names the default preset '{manifest.default_preset}', which "
            f"{TABLES} lacks; export it again"
        )
    return Bundle(directory, manifest, presets)


def find_bundle(where: str | Path | None) -> Path:
    """The directory meant by ``where``; see :func:`open_bundle`. Raises BundleError."""
    candidates = [SHIPPED / DEFAULT] if where is None else [Path(where), SHIPPED / str(where)]
    for directory in candidates:
        if (directory / MANIFEST).is_file():
            return directory
    shipped = ", ".join(sorted(path.name for path in SHIPPED.glob("*") if path.is_dir()))
    raise BundleError(
        f"no bundle at {where or candidates[0]} (no {MANIFEST} in it); give a directory made by "
        f"python -m export.onnx, or a shipped bundle: {shipped or 'none'}"
    )


def _read_manifest(directory: Path) -> Manifest:
    path = directory / MANIFEST
    data = _read(path)
    found = _decode(path, lambda: msgspec.json.decode(data, type=dict[str, Any]))
    version = found.get("format")
    if not isinstance(version, int):
        raise BundleError(f"{path} has no integer 'format'; wanted is a bundle of dvsr-edge")
    if version > FORMAT:
        raise BundleError(
            f"{path} has bundle format {version}, this runtime reads up to {FORMAT}; "
            "install a newer dvsr-edge"
        )
    return _decode(path, lambda: msgspec.json.decode(data, type=Manifest))


def _read_tables(directory: Path) -> Tables:
    path = directory / TABLES
    data = _read(path)
    tables = _decode(path, lambda: msgspec.json.decode(data, type=Tables))
    if tables.columns != COLUMNS:
        raise BundleError(
            f"{path} has the columns {', '.join(tables.columns)}; wanted are {', '.join(COLUMNS)}: "
            "export it again"
        )
    for name, preset in tables.presets.items():
        if any(len(row) != len(COLUMNS) for row in preset.rows):
            raise BundleError(
                f"{path}: preset '{name}' has a row that is not {len(COLUMNS)} numbers"
            )
        if not 0.0 < preset.strength <= MAX_STRENGTH:
            raise BundleError(
                f"{path}: preset '{name}' has a strength that is not above 0 and at most "
                f"{MAX_STRENGTH:g}"
            )
    return tables


def _decode(path: Path, decode: Callable[[], T]) -> T:
    try:
        return decode()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read: {error}; copy or export it again") from error


def _check_file(directory: Path, name: str, entry: FileEntry) -> None:
    path = directory / name
    pure = PurePosixPath(name)
    inside = not pure.is_absolute() and ".." not in pure.parts and "\\" not in name
    if not inside or not path.resolve().is_relative_to(directory.resolve()):
        raise BundleError(f"{directory / MANIFEST} names {name}, which lies outside the bundle")
    if not path.is_file():
        raise BundleError(f"{directory} lacks {name}; copy or export the bundle again")
    data = _read(path)
    if len(data) != entry.bytes or sha256(data) != entry.sha256:
        raise BundleError(
            f"{path} is not the file that {MANIFEST} describes ({len(data)} bytes, sha256 "
            f"{sha256(data)[:12]}; wanted {entry.bytes} bytes, {entry.sha256[:12]}); "
            "copy or export the bundle again"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error


def sha256(data: bytes) -> str:
    """Checksum as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
