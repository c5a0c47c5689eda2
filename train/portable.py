"""``python -m train.portable``: carry pictures and weights to and from other machines in pieces.

``pack-pictures`` writes tar files of pictures, each under a size limit, with a list of names and
checksums; ``unpack-pictures`` makes a folder of them again. ``pack-weights`` writes a checkpoint
in half precision as safetensors files under a size limit; ``unpack-weights`` joins them. ``train``
does all of it on the other machine: tar files in, a stretch of training, pieces out.
"""

from __future__ import annotations

import argparse
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath

import msgspec
import torch
from torch import Tensor

from runtime.command import run_command
from runtime.errors import CheckpointError, DataError, OptionError
from runtime.files import to_json, write_whole
from train import checkpoint
from train.data.layouts import find_pictures
from train.options import add_machine_options, add_recipe_options, read_names
from train.provenance import files_of

MIB = 2**20
LIST = "pictures.json"
PICTURES_MIB = 56
WEIGHTS_MIB = 15


class ListedPicture(msgspec.Struct, frozen=True):
    """One packed picture: its name below the folder, the sha256 of its bytes, and its tar."""

    name: str
    sha256: str
    shard: str


def pack_pictures(files: Mapping[str, Path], folder: Path, *, limit_mib: int = PICTURES_MIB) -> int:
    """Write ``files`` into tar files of at most ``limit_mib`` MiB in ``folder``; returns how many.

    The keys are their names below the folder that they will be unpacked into, with "/". File bytes
    are kept as they are. Raises DataError for one that alone exceeds the limit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed: list[ListedPicture] = []
    count = 0
    for count, group in enumerate(_group_by_size(files, limit_mib * MIB), 1):
        shard = f"pictures-{count:03}.tar"
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name in group:
                data = files[name].read_bytes()
                listed.append(ListedPicture(name, sha256(data).hexdigest(), shard))
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        write_whole(folder / shard, buffer.getvalue())
    # The list last: a folder without it is not whole.
    write_whole(folder / LIST, to_json(listed))
    return count


def unpack_pictures(folder: Path, target: Path) -> int:
    """Write what :func:`pack_pictures` packed into ``folder`` as files; returns how many.

    Raises DataError where a tar is missing, a picture does not have its checksum, or a name leads
    out of ``target``.
    """
    try:
        listed = msgspec.json.decode((folder / LIST).read_bytes(), type=list[ListedPicture])
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(f"cannot read {folder / LIST}: {error}; pack the pictures again") from error
    for name in {name for entry in listed for name in (entry.name, entry.shard)}:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise DataError(f"{folder / LIST} names {name}, which leads out of its folder")
    for shard in sorted({entry.shard for entry in listed}):
        wanted = {entry.name: entry.sha256 for entry in listed if entry.shard == shard}
        for name, data in _members(folder / shard, wanted):
            if sha256(data).hexdigest() != wanted[name]:
                raise DataError(f"{name} in {folder / shard} is damaged; carry the file again")
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(target / name, data)
    return len(listed)


def pack_weights(path: Path, folder: Path, *, limit_mib: int = WEIGHTS_MIB) -> list[Path]:
    """Write the checkpoint ``path`` into half-precision files of at most ``limit_mib`` MiB.

    They are called like the checkpoint with ``-1-of-3`` behind; each carries the whole card. Raises
    CheckpointError as :func:`train.checkpoint.load_tensors` does, and for weights that half
    precision cannot hold.
    """
    tensors, card = checkpoint.load_tensors(path)
    halves = {name: _to_half(name, tensor, path) for name, tensor in tensors.items()}
    groups = list(_group_tensors(halves, limit_mib * MIB))
    names = [
        f"{path.stem}-{index}-of-{len(groups)}{path.suffix}" for index in range(1, len(groups) + 1)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    # All beside their places first: pieces of two checkpoints cannot be joined.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".pieces.") as beside:
        for name, group in zip(names, groups, strict=True):
            checkpoint.save_tensors(Path(beside, name), group, card)
        for name in names:
            Path(beside, name).replace(folder / name)
    return [folder / name for name in names]


def unpack_weights(first: Path, target: Path) -> None:
    """Join the pieces beside ``first`` (``...-1-of-N``) into one float32 checkpoint ``target``.

    Raises CheckpointError where a piece is missing or belongs to another checkpoint.
    """
    stem, marker, count = first.stem.rpartition("-1-of-")
    if not marker or not count.isdecimal():
        raise CheckpointError(f"got {first}; wanted is the first piece, called NAME-1-of-N")
    tensors: dict[str, Tensor] = {}
    cards = []
    for index in range(1, int(count) + 1):
        piece, card = checkpoint.load_tensors(
            first.with_name(f"{stem}-{index}-of-{count}{first.suffix}")
        )
        tensors |= {name: tensor.float() for name, tensor in piece.items()}
        cards.append(card)
    if any(card != cards[0] for card in cards):
        raise CheckpointError(f"the pieces beside {first} belong to different checkpoints")
    checkpoint.save_tensors(target, tensors, cards[0])


def _to_half(name: str, tensor: Tensor, path: Path) -> Tensor:
    half = tensor.half() if tensor.is_floating_point() else tensor
    if not torch.isfinite(half).all():
        raise CheckpointError(
            f"{name} of {path} holds values that half precision cannot; carry the checkpoint whole"
        )
    return half


def _group_by_size(files: Mapping[str, Path], limit: int) -> Iterator[list[str]]:
    """Names of consecutive files whose tar stays within ``limit`` bytes."""
    group: list[str] = []
    size = 2 * tarfile.RECORDSIZE
    for name, path in files.items():
        # Long names take a header of two blocks more.
        blocks = tarfile.BLOCKSIZE * (3 + -(-path.stat().st_size // tarfile.BLOCKSIZE))
        if blocks + 2 * tarfile.RECORDSIZE > limit:
            raise DataError(f"{path} alone exceeds {limit / MIB:.0f} MiB; raise the limit")
        if size + blocks > limit:
            yield group
            group, size = [], 2 * tarfile.RECORDSIZE
        group.append(name)
        size += blocks
    if group:
        yield group


def _group_tensors(tensors: Mapping[str, Tensor], limit: int) -> Iterator[dict[str, Tensor]]:
    group: dict[str, Tensor] = {}
    # The card and the header of a file want room too.
    size = left = MIB // 4
    for name, tensor in tensors.items():
        if tensor.nbytes + left > limit:
            raise CheckpointError(
                f"{name} alone takes {tensor.nbytes / MIB:.1f} MiB; raise the limit"
            )
        if size + tensor.nbytes > limit:
            yield group
            group, size = {}, left
        group[name] = tensor
        size += tensor.nbytes
    yield group


def _members(path: Path, wanted: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of the listed members; each must be there."""
    try:
        with tarfile.open(path) as tar:
            for name in wanted:
                file = tar.extractfile(name)
                if file is None:
                    raise DataError(f"{name} in {path} is no file; pack the pictures again")
                yield name, file.read()
    except (OSError, KeyError, tarfile.TarError) as error:
        raise DataError(f"cannot read {path}: {error}; carry the file again") from error


def build_parser() -> argparse.ArgumentParser:
    """One subcommand for each direction."""
    parser = argparse.ArgumentParser(prog="python -m train.portable", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    pictures = commands.add_parser("pack-pictures", help="pictures to tar files")
    pictures.add_argument("source", type=Path, help="folder of sharp pictures, or of pairs")
    pictures.add_argument("--only", type=Path, help="text file: names of the pictures to pack")
    pictures.add_argument("--limit", type=int, default=PICTURES_MIB, metavar="MIB")
    commands.add_parser("unpack-pictures", help="tar files to pictures").add_argument(
        "source", type=Path, help="folder of tar files"
    )
    weights = commands.add_parser("pack-weights", help="a checkpoint to half-precision pieces")
    weights.add_argument("source", type=Path, help="checkpoint")
    weights.add_argument("--limit", type=int, default=WEIGHTS_MIB, metavar="MIB")
    commands.add_parser("unpack-weights", help="pieces to a checkpoint").add_argument(
        "source", type=Path, help="first piece, NAME-1-of-N.safetensors"
    )
    _add_train(commands.add_parser("train", help="tar files to pieces: a stretch of training"))
    for command in commands.choices.values():
        command.add_argument("-o", "--output", type=Path, required=True)
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help="folder of tar files")
    parser.add_argument(
        "--minutes", dest="call_minutes", type=float, required=True, help="that this call may take"
    )
    parser.add_argument(
        "--of",
        dest="minutes",
        type=float,
        metavar="MINUTES",
        help="of training in all calls together, over which the learning rate falls (default: "
        "those of this call)",
    )
    parser.add_argument(
        "--from", dest="first_piece", type=Path, metavar="PIECE", help="NAME-1-of-N to go on from"
    )
    parser.add_argument("--validation", type=Path, metavar="SHARDS", help="tar files of pairs")
    parser.add_argument(
        "--every", type=float, default=3.0, metavar="MINUTES", help="between two sets of pieces"
    )
    parser.add_argument(
        "--work", type=Path, help="folder for pictures and the whole run, to go on from exactly"
    )
    add_recipe_options(parser, "reference-edge")
    add_machine_options(parser, workers=max(1, (os.cpu_count() or 1) - 1))


def run(arguments: argparse.Namespace) -> None:
    """Pack or unpack, and say what was written; raises DvsrError."""
    if getattr(arguments, "limit", 1) < 1:
        raise OptionError(f"got --limit {arguments.limit}; wanted is at least 1 MiB")
    source, output = arguments.source, arguments.output
    if arguments.command == "pack-pictures":
        only = read_names(arguments.only) if arguments.only else None
        pictures = find_pictures(source, only)
        count = pack_pictures(files_of(pictures), output, limit_mib=arguments.limit)
        print(f"wrote {len(pictures)} pictures into {count} files of {output}")
    elif arguments.command == "unpack-pictures":
        print(f"wrote {unpack_pictures(source, output)} pictures into {output}")
    elif arguments.command == "pack-weights":
        for piece in pack_weights(source, output, limit_mib=arguments.limit):
            print(f"wrote {piece} ({piece.stat().st_size / MIB:.1f} MiB)")
    elif arguments.command == "train":
        from train.chunks import train_chunk

        train_chunk(arguments)
    else:
        unpack_weights(source, output)
        print(f"wrote {output}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m train.portable", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
