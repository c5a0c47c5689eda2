"""Pictures and weights survive the way to another machine and back."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from runtime.errors import CheckpointError, DataError
from train import portable
from train.checkpoint import load_tensors
from train.data.layouts import find_pictures
from train.provenance import files_of


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(5):
        # Noise does not compress: each file is a little over 0.5 MiB.
        image = rng.integers(0, 256, (440, 440, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), image)
    return folder


def files_in(folder: Path) -> dict[str, Path]:
    return files_of(find_pictures(folder))


def test_pairs_keep_their_folders(pictures: Path, tmp_path: Path) -> None:
    for side in ("blur", "sharp"):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        (tmp_path / "pairs" / side / "0.png").write_bytes((pictures / "0.png").read_bytes())
    portable.pack_pictures(files_in(tmp_path / "pairs"), tmp_path / "shards")
    assert portable.unpack_pictures(tmp_path / "shards", tmp_path / "back") == 2
    pairs = find_pictures(tmp_path / "back")
    assert pairs.blurred == (tmp_path / "back" / "blur" / "0.png",)
    assert pairs.sharp == (tmp_path / "back" / "sharp" / "0.png",)


@pytest.mark.parametrize("name", ["../0.png", "/tmp/0.png"])
def test_a_name_that_leads_out_of_the_folder_is_refused(
    pictures: Path, tmp_path: Path, name: str
) -> None:
    portable.pack_pictures({name: pictures / "0.png"}, tmp_path / "shards")
    with pytest.raises(DataError, match="leads out"):
        portable.unpack_pictures(tmp_path / "shards", tmp_path / "back")


def test_pictures_come_back_byte_for_byte(pictures: Path, tmp_path: Path) -> None:
    portable.pack_pictures(files_in(pictures), tmp_path / "shards", limit_mib=2)
    portable.unpack_pictures(tmp_path / "shards", tmp_path / "back")
    for path in pictures.iterdir():
        assert (tmp_path / "back" / path.name).read_bytes() == path.read_bytes()


def test_no_file_of_pictures_exceeds_the_limit(pictures: Path, tmp_path: Path) -> None:
    count = portable.pack_pictures(files_in(pictures), tmp_path / "shards", limit_mib=2)
    sizes = [path.stat().st_size for path in (tmp_path / "shards").glob("*.tar")]
    assert len(sizes) == count == 2
    assert max(sizes) <= 2 * portable.MIB


def test_a_picture_beyond_the_limit_is_named(pictures: Path, tmp_path: Path) -> None:
    large = pictures / "large.png"
    large.write_bytes(bytes(2 * portable.MIB))
    with pytest.raises(DataError, match=r"large\.png alone exceeds 1 MiB"):
        portable.pack_pictures({"large.png": large}, tmp_path / "shards", limit_mib=1)


def test_a_damaged_picture_is_named(pictures: Path, tmp_path: Path) -> None:
    portable.pack_pictures(files_in(pictures), tmp_path / "shards", limit_mib=2)
    shard = tmp_path / "shards" / "pictures-001.tar"
    data = bytearray(shard.read_bytes())
    data[5000] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"0\.png in .* is damaged"):
        portable.unpack_pictures(tmp_path / "shards", tmp_path / "back")


def test_a_missing_shard_is_an_error(pictures: Path, tmp_path: Path) -> None:
    portable.pack_pictures(files_in(pictures), tmp_path / "shards", limit_mib=2)
    (tmp_path / "shards" / "pictures-002.tar").unlink()
    with pytest.raises(DataError, match="pictures-002"):
        portable.unpack_pictures(tmp_path / "shards", tmp_path / "back")


def test_weights_come_back_to_half_precision(checkpoint: Path, tmp_path: Path) -> None:
    pieces = portable.pack_weights(checkpoint, tmp_path)
    portable.unpack_weights(pieces[0], tmp_path / "back.safetensors")
    before, card = load_tensors(checkpoint)
    after, same_card = load_tensors(tmp_path / "back.safetensors")
    assert same_card == card
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=2**-11, atol=2**-24)


def test_weights_are_split_at_the_limit(tmp_path: Path, checkpoint: Path) -> None:
    tensors, card = load_tensors(checkpoint)
    tensors = {f"{copy}.{name}": t.clone() for copy in range(16) for name, t in tensors.items()}
    whole = tmp_path / "many.safetensors"
    portable.checkpoint.save_tensors(whole, tensors, card)
    pieces = portable.pack_weights(whole, tmp_path / "pieces", limit_mib=1)
    assert len(pieces) > 1
    assert max(path.stat().st_size for path in pieces) <= portable.MIB
    portable.unpack_weights(pieces[0], tmp_path / "back.safetensors")
    assert load_tensors(tmp_path / "back.safetensors")[0].keys() == tensors.keys()


def test_a_missing_piece_is_an_error(checkpoint: Path, tmp_path: Path) -> None:
    piece = portable.pack_weights(checkpoint, tmp_path)[0]
    first = piece.rename(tmp_path / "model-1-of-2.safetensors")
    with pytest.raises(CheckpointError, match="model-2-of-2"):
        portable.unpack_weights(first, tmp_path / "back.safetensors")


def test_weights_too_large_for_half_precision_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    tensors, card = load_tensors(checkpoint)
    name = next(iter(tensors))
    tensors[name] = torch.full_like(tensors[name], 1e5)
    portable.checkpoint.save_tensors(tmp_path / "large.safetensors", tensors, card)
    with pytest.raises(CheckpointError, match="half precision"):
        portable.pack_weights(tmp_path / "large.safetensors", tmp_path)
