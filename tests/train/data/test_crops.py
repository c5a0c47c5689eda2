"""Crops: which part of which picture a sample is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.errors import DataError, ImageError, OptionError
from train.config import BlurConfig, DataConfig
from train.data.crops import CropDataset
from train.data.layouts import find_pictures

Image = NDArray[np.uint8]


def write(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[:, :, ::-1])


@pytest.fixture
def sharp_folder(tmp_path: Path, photograph: Image) -> Path:
    write(tmp_path / "sharp-only" / "a.png", photograph)
    write(tmp_path / "sharp-only" / "b.png", photograph[::-1])
    return tmp_path / "sharp-only"


@pytest.fixture
def paired_folder(tmp_path: Path, photograph: Image) -> Path:
    write(tmp_path / "pairs" / "sharp" / "a.png", photograph)
    write(tmp_path / "pairs" / "blur" / "a.png", 255 - photograph)
    return tmp_path / "pairs"


def test_a_sample_is_a_function_of_seed_and_index(sharp_folder: Path) -> None:
    pictures, config = find_pictures(sharp_folder), DataConfig(crop_px=32)
    first, again = (CropDataset(pictures, config, 10, seed=1)[4] for _ in range(2))
    other = CropDataset(pictures, config, 10, seed=2)[4]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first[1] != other[1]).any()


def test_crops_have_the_size_asked_for(sharp_folder: Path) -> None:
    blurred, sharp = CropDataset(find_pictures(sharp_folder), DataConfig(crop_px=40), 1, 0)[0]
    assert blurred.shape == sharp.shape == (3, 40, 40)


def test_pairs_are_cut_at_the_same_place(paired_folder: Path) -> None:
    dataset = CropDataset(find_pictures(paired_folder), DataConfig(crop_px=32), 20, 0)
    assert all(
        (blurred + sharp == 255).all() for blurred, sharp in map(dataset.__getitem__, range(20))
    )


def roughness(folder: Path, config: DataConfig) -> float:
    """Mean step between neighbouring pixels of sharp crops, all of the size asked for."""
    crops = CropDataset(find_pictures(folder), config, 40, 0)
    steps = [np.abs(np.diff(crops[index][1].numpy().astype(float))) for index in range(40)]
    assert {step.shape for step in steps} == {(3, config.crop_px, config.crop_px - 1)}
    return float(np.mean(steps))


def test_enlarged_crops_are_softer(sharp_folder: Path) -> None:
    blur = BlurConfig(identity_fraction=1.0)
    rough, soft = (
        roughness(sharp_folder, DataConfig(32, blur, zoom_fraction=zoom, zoom_max=4.0))
        for zoom in (0.0, 1.0)
    )
    assert soft < 0.8 * rough


def test_crops_that_are_blurred_like_video_are_enlarged(sharp_folder: Path) -> None:
    still, video = (BlurConfig(identity_fraction=1.0, video_fraction=f) for f in (0.0, 1.0))
    rough, soft = (roughness(sharp_folder, DataConfig(32, blur)) for blur in (still, video))
    assert soft < 0.85 * rough


def test_of_many_places_the_one_with_most_detail_is_taken(sharp_folder: Path) -> None:
    blur = BlurConfig(identity_fraction=1.0)
    one, many = (roughness(sharp_folder, DataConfig(32, blur, places=n)) for n in (1, 6))
    assert many > 1.2 * one


def test_a_crop_without_a_place_is_refused() -> None:
    with pytest.raises(OptionError, match="got 0 places for a crop; wanted is at least 1"):
        DataConfig(places=0)


def test_a_zoom_out_of_its_range_is_refused() -> None:
    with pytest.raises(OptionError, match=r"zoom_max 0\.5; wanted are 0 to 1 and 1 to 4"):
        DataConfig(zoom_fraction=0.5, zoom_max=0.5)


def test_without_blur_both_crops_are_equal(sharp_folder: Path) -> None:
    config = DataConfig(crop_px=32, blur=BlurConfig(identity_fraction=1.0))
    blurred, sharp = CropDataset(find_pictures(sharp_folder), config, 1, 0)[0]
    assert (blurred == sharp).all()


def test_only_the_listed_pictures_are_used(sharp_folder: Path) -> None:
    assert [p.name for p in find_pictures(sharp_folder, ["b.png"]).sharp] == ["b.png"]


def test_a_listed_picture_that_is_missing_is_named(sharp_folder: Path) -> None:
    with pytest.raises(DataError, match=r"c\.png"):
        find_pictures(sharp_folder, ["a.png", "c.png"])


def test_a_picture_without_its_twin_is_named(paired_folder: Path, photograph: Image) -> None:
    write(paired_folder / "sharp" / "alone.png", photograph)
    with pytest.raises(DataError, match="alone"):
        find_pictures(paired_folder)


def test_a_picture_smaller_than_the_crop_is_named(sharp_folder: Path) -> None:
    dataset = CropDataset(find_pictures(sharp_folder), DataConfig(crop_px=600), 1, 0)
    with pytest.raises(ImageError, match="600"):
        dataset[0]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures"):
        find_pictures(tmp_path)
