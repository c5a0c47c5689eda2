"""Crops cut from pictures on disk, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from runtime.errors import DataError
from train.config import DataConfig
from train.data.crops import CropDataset
from train.data.layouts import find_pictures

CONFIG = DataConfig(crop_px=32)


def write_picture(path: Path, seed: int, height_px: int = 80, width_px: int = 96) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), np.uint8)
    assert cv2.imwrite(str(path), noise)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(3):
        write_picture(tmp_path / f"{index}.png", index)
    return tmp_path


def make_dataset(folder: Path, length: int = 20) -> CropDataset:
    return CropDataset(find_pictures(folder), CONFIG, length, seed=5)


@pytest.mark.parametrize("damage", ["cut png", "cut jpeg", "text", "empty"])
def test_a_corrupt_picture_is_named_and_another_one_drawn(folder: Path, damage: str) -> None:
    bad = folder / ("bad.jpg" if damage == "cut jpeg" else "bad.png")
    write_picture(bad, 9)
    whole = bad.read_bytes()
    bad.write_bytes({"text": b"no picture", "empty": b""}.get(damage, whole[: len(whole) * 2 // 3]))
    dataset = make_dataset(folder)
    for index in range(len(dataset)):
        y, x = dataset[index]
        assert y.shape == x.shape == (3, 32, 32)
    assert dataset.corrupt() == (bad,)


def test_what_is_drawn_does_not_depend_on_having_met_the_corrupt_picture(folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"")
    met, fresh = make_dataset(folder), make_dataset(folder)
    for index in range(len(met)):
        y, _ = met[index]
    assert torch.equal(y, fresh[len(fresh) - 1][0])


def test_corrupt_pictures_met_by_worker_processes_are_known_to_their_parent(folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"")
    dataset = make_dataset(folder)
    for _ in DataLoader(dataset, batch_size=4, num_workers=1):
        pass
    assert dataset.corrupt() == (folder / "bad.png",)


def test_of_a_pair_the_corrupt_half_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for side in ("blur", "sharp"):
            write_picture(tmp_path / side / f"{name}.png", 1)
    bad = tmp_path / "blur" / "b.png"
    bad.write_bytes(b"")
    dataset = make_dataset(tmp_path)
    for index in range(len(dataset)):
        dataset[index]
    assert dataset.corrupt() == (bad,)


def test_nothing_but_corrupt_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of 1 pictures can be read"):
        make_dataset(tmp_path)[0]


def test_a_pair_of_two_sizes_is_an_error_that_names_both_files(tmp_path: Path) -> None:
    write_picture(tmp_path / "blur" / "a.png", 1, width_px=64)
    write_picture(tmp_path / "sharp" / "a.png", 1, width_px=65)
    with pytest.raises(DataError, match=r"blur/a\.png is 64x80 but .*sharp/a\.png is 65x80"):
        make_dataset(tmp_path)[0]


def test_pictures_beyond_the_memory_limit_are_decoded_anew_to_the_same_crops(folder: Path) -> None:
    small = CropDataset(find_pictures(folder), CONFIG, 20, seed=5, cache_mib=0)
    large = make_dataset(folder)
    for index in range(5):
        assert torch.equal(small[index][0], large[index][0])
