from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
from numpy.typing import NDArray

from runtime.errors import ImageError
from runtime.images import (
    Photograph,
    check_image,
    from_model,
    is_whole_png,
    read_image,
    read_photograph,
    to_model,
    to_uint8,
    write_photograph,
)

Image = NDArray[np.uint8]


def test_read_only_and_non_contiguous_arrays_are_fine(photograph: Image) -> None:
    view = photograph[::2, ::-1]
    view.flags.writeable = False
    assert check_image(view) is view


@pytest.mark.parametrize(
    ("array", "advice"),
    [
        (np.zeros((4, 4), np.uint8), "grayscale"),
        (np.zeros((4, 4, 1), np.uint8), "grayscale"),
        (np.zeros((4, 4, 4), np.uint8), "RGBA"),
        (np.zeros((3, 4, 5), np.uint8), "transpose"),
        (np.zeros((2, 4, 4, 3), np.uint8), "once for each"),
        (np.zeros((4, 4, 3), np.uint16), "to_uint8"),
        (np.zeros((4, 4, 3), np.float32), "to_uint8"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
    ],
)
def test_another_array_is_refused_with_what_to_do(array: NDArray[np.generic], advice: str) -> None:
    with pytest.raises(ImageError, match=advice):
        check_image(array)


def test_something_that_is_no_array_is_refused() -> None:
    with pytest.raises(ImageError, match="list"):
        check_image([[1, 2, 3]])


def test_every_grey_level_survives_the_way_to_the_model_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(from_model(to_model(levels)), levels)


def test_the_model_range_is_minus_one_to_one() -> None:
    x = to_model(np.array([[[0, 255, 0]]], np.uint8))
    assert x.ravel().tolist() == [-1.0, 1.0, -1.0]


def test_values_outside_the_range_are_clipped() -> None:
    x = np.array([-3.0, 3.0, 0.0], np.float32).reshape(1, 3, 1, 1)
    assert from_model(x).ravel().tolist() == [0, 255, 128]


def test_floats_and_16_bit_are_rounded_to_8_bit() -> None:
    assert to_uint8(np.array([0.0, 0.5, 1.0])).tolist() == [0, 128, 255]
    assert to_uint8(np.array([0, 257, 65535], np.uint16)).tolist() == [0, 1, 255]


@pytest.mark.parametrize("bad", [np.array([2.0]), np.array([np.nan]), np.array([3], np.int32)])
def test_values_that_cannot_be_grey_levels_are_refused(bad: NDArray[np.generic]) -> None:
    with pytest.raises(ImageError, match="to_uint8"):
        to_uint8(bad)


def test_a_png_comes_back_as_it_was_written(tmp_path: Path, photograph: Image) -> None:
    write_photograph(tmp_path / "a.png", Photograph(photograph))
    assert np.array_equal(read_image(tmp_path / "a.png"), photograph)


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (4, 3), (200, 100, 50)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, 0].tolist() == [200, 100, 50]


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    picture = PIL.Image.new("RGB", (32, 16))
    exif = picture.getexif()
    exif[0x0112] = 6  # stored lying on its side
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (32, 16, 3)


def save_lying(path: Path, photograph: Image) -> None:
    """A picture stored on its side, with an EXIF block as cameras write it: maker and date."""
    picture = PIL.Image.fromarray(photograph[:32, :48])
    exif = picture.getexif()
    exif.update({0x0112: 6, 0x010F: "Maker", 0x9003: "2026:01:02 03:04:05"})
    picture.save(path, exif=exif)


@pytest.mark.parametrize("source", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("target", [".jpg", ".png", ".webp"])
def test_exif_is_kept_and_no_longer_turns_the_picture(
    tmp_path: Path, photograph: Image, source: str, target: str
) -> None:
    save_lying(tmp_path / f"a{source}", photograph)
    write_photograph(tmp_path / f"b{target}", read_photograph(tmp_path / f"a{source}"))
    assert read_image(tmp_path / f"b{target}").shape == (48, 32, 3)
    exif = PIL.Image.open(tmp_path / f"b{target}").getexif()
    assert dict(exif) == {0x0112: 1, 0x010F: "Maker", 0x9003: "2026:01:02 03:04:05"}


@pytest.mark.parametrize("suffix", [".bmp", ".tiff"])
def test_a_format_without_exif_is_written_without_it(
    tmp_path: Path, photograph: Image, suffix: str
) -> None:
    save_lying(tmp_path / "a.jpg", photograph)
    write_photograph(tmp_path / f"b{suffix}", read_photograph(tmp_path / "a.jpg"))
    assert read_image(tmp_path / f"b{suffix}").shape == (48, 32, 3)


def test_an_exif_block_too_long_for_a_jpeg_is_left_out(tmp_path: Path) -> None:
    long = replace(Photograph(np.zeros((4, 4, 3), np.uint8)), exif=bytes(70_000))
    write_photograph(tmp_path / "a.jpg", long)
    assert read_image(tmp_path / "a.jpg").shape == (4, 4, 3)


def test_grayscale_files_stay_grayscale(tmp_path: Path) -> None:
    PIL.Image.new("L", (5, 4), 77).save(tmp_path / "a.png")
    photograph = read_photograph(tmp_path / "a.png")
    assert photograph.image.shape == (4, 5, 3)
    write_photograph(tmp_path / "b.png", photograph)
    assert PIL.Image.open(tmp_path / "b.png").mode == "L"


def test_transparency_is_kept(tmp_path: Path) -> None:
    PIL.Image.new("RGBA", (5, 4), (9, 8, 7, 66)).save(tmp_path / "a.png")
    write_photograph(tmp_path / "b.png", read_photograph(tmp_path / "a.png"))
    assert PIL.Image.open(tmp_path / "b.png").getpixel((0, 0)) == (9, 8, 7, 66)


def test_transparency_is_not_lost_silently(tmp_path: Path) -> None:
    PIL.Image.new("RGBA", (5, 4)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="transparency"):
        write_photograph(tmp_path / "b.jpg", read_photograph(tmp_path / "a.png"))


def test_the_colour_profile_is_kept(tmp_path: Path) -> None:
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    PIL.Image.new("RGB", (5, 4)).save(tmp_path / "a.png", icc_profile=profile)
    write_photograph(tmp_path / "b.png", read_photograph(tmp_path / "a.png"))
    assert PIL.Image.open(tmp_path / "b.png").info["icc_profile"] == profile


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".bmp"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_a_truncated_file_is_refused(
    tmp_path: Path, photograph: Image, suffix: str, share: float
) -> None:
    encoded = cv2.imencode(suffix, photograph)[1].tobytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(encoded[: int(share * len(encoded))])
    with pytest.raises(ImageError, match="wanted is a whole"):
        read_image(path)


def test_a_jpeg_cut_behind_the_end_marker_of_its_thumbnail_is_refused(
    tmp_path: Path, photograph: Image
) -> None:
    encoded = cv2.imencode(".jpg", photograph)[1].tobytes()
    thumbnail = cv2.imencode(".jpg", photograph[:16, :16])[1].tobytes()
    comment = b"\xff\xfe" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = encoded[:2] + comment + encoded[2:]
    (tmp_path / "whole.jpg").write_bytes(whole)
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) * 3 // 4])
    assert read_image(tmp_path / "whole.jpg").shape == photograph.shape
    with pytest.raises(ImageError, match="truncated"):
        read_image(tmp_path / "cut.jpg")


@pytest.mark.parametrize(
    ("part", "expected"), [(slice(None), True), (slice(0, -1), False), (slice(0, 0), False)]
)
def test_a_whole_png_is_told_by_its_ends(tmp_path: Path, part: slice, expected: bool) -> None:
    encoded = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    (tmp_path / "a.png").write_bytes(encoded[part])
    assert is_whole_png(tmp_path / "a.png") is expected


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(ImageError, match="no readable picture"):
        read_image(tmp_path / "a.jpg")


def test_a_16_bit_file_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint16))
    with pytest.raises(ImageError, match="uint16"):
        read_image(tmp_path / "a.png")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png"):
        read_image(tmp_path / "gone.png")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "old.jpg"
    path.write_bytes(b"old")
    broken = Photograph(np.zeros((70_000, 1, 3), np.uint8))  # JPEG ends at 65,535 rows
    with pytest.raises(ImageError, match="could not be encoded"):
        write_photograph(path, broken)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("old.jpg", b"old")]


@pytest.mark.parametrize("name", ["a.gif", "missing/a.png", "."])
def test_an_output_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    photograph = replace(Photograph(np.zeros((1, 1, 3), np.uint8)))
    with pytest.raises(ImageError):
        write_photograph(tmp_path / name, photograph)
