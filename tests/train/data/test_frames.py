"""Blur from consecutive frames of a fast camera."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from runtime.errors import DataError
from train.config import BlurConfig, DataConfig
from train.data.blur import average_frames
from train.data.crops import CropDataset
from train.data.layouts import find_pictures

CLEAN = BlurConfig(identity_fraction=0.0, read_noise_max=0.0, shot_noise_max=0.0)
CONFIG = DataConfig(crop_px=16, blur=CLEAN)


def write_frames(folder: Path, count: int, width_px: int = 40) -> Path:
    """Frame k has the grey level 10 * k."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        grey = np.full((24, width_px, 3), 10 * index, np.uint8)
        cv2.imwrite(str(folder / f"{index:03}.png"), grey)
    return folder


def test_frames_are_averaged_as_light_and_not_as_grey_levels() -> None:
    black, white = (np.full((4, 4, 3), level, np.uint8) for level in (0, 255))
    mean = average_frames([black, white] * 4 + [black], np.random.default_rng(0), CLEAN)
    # Four ninths of white's light, through the sRGB curve.
    assert set(np.unique(mean)) == {round(255 * (1.055 * (4 / 9) ** (1 / 2.4) - 0.055))}


def test_equal_frames_average_to_themselves() -> None:
    frame = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    mean = average_frames([frame] * 7, np.random.default_rng(0), CLEAN)
    assert np.array_equal(mean, frame)


def test_each_frame_stands_between_as_many_neighbours_on_both_sides(tmp_path: Path) -> None:
    pictures = find_pictures(write_frames(tmp_path, 15), layout="frames")
    assert pictures.windows is not None
    assert [path.stem for path in pictures.sharp] == [f"{k:03}" for k in range(3, 12)]
    assert [len(window) for window in pictures.windows] == [7, 9, 11, 13, 13, 13, 11, 9, 7]
    for sharp, window in zip(pictures.sharp, pictures.windows, strict=True):
        assert window[len(window) // 2] == sharp


def test_frames_of_two_clips_are_not_mixed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_frames(tmp_path / name, 8)
    pictures = find_pictures(tmp_path, layout="frames")
    assert pictures.windows is not None
    assert len(pictures) == 4
    assert all(len({path.parent for path in window}) == 1 for window in pictures.windows)


def test_a_crop_is_the_middle_frame_and_the_mean_around_it(tmp_path: Path) -> None:
    pictures = find_pictures(write_frames(tmp_path, 13), layout="frames", only=["006.png"])
    seen = set()
    for index in range(12):
        blurred, sharp = CropDataset(pictures, CONFIG, 12, seed=0)[index]
        assert torch.equal(sharp, torch.full((3, 16, 16), 60, dtype=torch.uint8))
        assert len(blurred.unique()) == 1
        seen.add(int(blurred[0, 0, 0]))
    # 7, 9, 11 or 13 frames of rising light: their mean is the brighter, the more there are.
    assert len(seen) == 4
    assert min(seen) > 60


def test_too_few_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no 7 consecutive frames"):
        find_pictures(write_frames(tmp_path, 6), layout="frames")


def test_frames_of_two_sizes_are_an_error_that_names_both(tmp_path: Path) -> None:
    write_frames(tmp_path, 7)
    cv2.imwrite(str(tmp_path / "004.png"), np.zeros((24, 41, 3), np.uint8))
    dataset = CropDataset(find_pictures(tmp_path, layout="frames"), CONFIG, 1, seed=0)
    with pytest.raises(DataError, match=r"000\.png is 40x24 but .*004\.png is 41x24"):
        dataset[0]


def test_a_corrupt_frame_leaves_out_what_needs_it(tmp_path: Path) -> None:
    folder = write_frames(tmp_path, 8)
    (folder / "000.png").write_bytes(b"no picture")
    dataset = CropDataset(find_pictures(folder, layout="frames"), CONFIG, 8, seed=0)
    # Of the middles 3 and 4 only the second has its neighbours.
    assert {int(dataset[index][1].max()) for index in range(8)} == {40}


def test_real_frames_give_real_blur() -> None:
    folder = Path(__file__).resolve().parents[4] / "shared" / "data" / "frames_240fps"
    if not folder.is_dir():
        pytest.skip("the frames do not lie beside this checkout (../shared/data/frames_240fps)")
    pictures = find_pictures(folder, layout="frames")
    assert len(pictures) == 299 - 6
    dataset = CropDataset(pictures, replace(CONFIG, crop_px=128), 3, seed=0)
    for index in range(3):
        blurred, sharp = (side.permute(1, 2, 0).numpy() for side in dataset[index])
        assert 18.0 < cv2.PSNR(blurred, sharp) < 45.0
        detail = [cv2.Laplacian(side, cv2.CV_32F).var() for side in (blurred, sharp)]
        assert detail[0] < detail[1]
