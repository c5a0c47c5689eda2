"""dvsr-deblur keeps what Python keeps of a picture's EXIF and its colour profile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageCms
import pytest
from both_tools import BothTools
from numpy.typing import NDArray

from runtime.images import read_photograph

Image = NDArray[np.uint8]
PROFILE = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
THUMBNAIL = b"\xff\xd8 small, as it was stored \xff\xd9"


@pytest.fixture
def both(tool_with_metadata: Path, tmp_path: Path) -> BothTools:
    return BothTools(tool_with_metadata, tmp_path, tmp_path)


def with_thumbnail(exif: bytes) -> bytes:
    """``exif``, big-endian, with a second directory that describes a thumbnail."""
    prefix, block = exif[:6], exif[6:]
    first = int.from_bytes(block[4:8], "big")
    link = first + 2 + 12 * int.from_bytes(block[first : first + 2], "big")
    where = len(block) + 2 + 3 * 12 + 4
    fields = ((0x0103, 3, 6 << 16), (0x0201, 4, where), (0x0202, 4, len(THUMBNAIL)))
    second = len(fields).to_bytes(2, "big")
    for tag, kind, value in fields:
        second += tag.to_bytes(2, "big") + kind.to_bytes(2, "big")
        second += (1).to_bytes(4, "big") + value.to_bytes(4, "big")
    linked = block[:link] + len(block).to_bytes(4, "big") + block[link + 4 :]
    return prefix + linked + second + bytes(4) + THUMBNAIL


def save(path: Path, image: Image, orientation: int) -> None:
    """A picture with a profile and an EXIF block as cameras write it."""
    exif = PIL.Image.Exif()
    exif.endian = ">"
    exif.update({0x0112: orientation, 0x010F: "Maker", 0x9003: "2026:01:02 03:04:05"})
    exif.get_ifd(PIL.ExifTags.IFD.Exif)[0x829A] = (1, 60)
    exif.get_ifd(PIL.ExifTags.IFD.GPSInfo)[1] = "N"
    block = with_thumbnail(exif.tobytes())
    PIL.Image.fromarray(image).save(path, exif=block, icc_profile=PROFILE)


def tags(path: Path) -> list[object]:
    """All that PIL finds, but for the places of the directories."""
    exif = PIL.Image.open(path).getexif()
    places = (PIL.ExifTags.IFD.Exif, PIL.ExifTags.IFD.GPSInfo)
    first = {tag: value for tag, value in exif.items() if tag not in places}
    return [first, *(dict(exif.get_ifd(place)) for place in (*places, PIL.ExifTags.IFD.IFD1))]


@pytest.mark.parametrize(
    ("source", "target", "orientation"),
    [
        (".jpg", ".jpg", 6),
        (".jpg", ".png", 3),
        (".png", ".webp", 5),
        (".webp", ".jpeg", 8),
        (".webp", ".webp", 2),
        (".png", ".png", 4),
        (".jpg", ".tif", 7),
        (".webp", ".bmp", 1),
    ],
)
def test_metadata_and_pixels_are_those_of_python(
    both: BothTools,
    small_bundle: Path,
    photograph: Image,
    source: str,
    target: str,
    orientation: int,
) -> None:
    save(both.native / f"in{source}", photograph[:24, :41], orientation)
    paths = [both.native / f"{side}{target}" for side in ("native", "python")]
    for ask, path in zip((both.ask_native, both.ask_python), paths, strict=True):
        answer = ask(f"in{source}", "-o", path, "--bundle", small_bundle, "--steps", 0)
        assert (answer.code, answer.err) == (0, "")
    native, python = (read_photograph(path) for path in paths)
    np.testing.assert_array_equal(native.image, python.image)
    assert (native.exif is None) == (python.exif is None) == (target in (".tif", ".bmp"))
    np.testing.assert_equal(native.colour_profile, python.colour_profile)
    if native.exif is not None:
        assert tags(paths[0]) == tags(paths[1])
        assert tags(paths[0])[0] == {0x0112: 1, 0x010F: "Maker", 0x9003: "2026:01:02 03:04:05"}
        assert tags(paths[0])[-1] == {}
        assert THUMBNAIL not in paths[0].read_bytes()


def test_a_transparent_webp_keeps_its_profile(
    both: BothTools, small_bundle: Path, photograph: Image
) -> None:
    alpha = np.arange(15 * 21, dtype=np.uint8).reshape(15, 21)
    clear = np.dstack([photograph[:15, :21], alpha])
    PIL.Image.fromarray(clear).save(both.native / "in.png", icc_profile=PROFILE)
    assert (
        both.ask_native("in.png", "-o", "o.webp", "--bundle", small_bundle, "--steps", 0).code == 0
    )
    written = PIL.Image.open(both.native / "o.webp")
    assert (written.mode, written.size, written.info["icc_profile"]) == ("RGBA", (21, 15), PROFILE)
    np.testing.assert_array_equal(np.asarray(written)[:, :, 3], alpha)


def test_views_are_described_as_python_does(
    both: BothTools, small_bundle: Path, photograph: Image
) -> None:
    save(both.native / "in.png", photograph[:12, :16], 1)
    options = ("--bundle", small_bundle, "--preset", "realtime", "--compare", "--std")
    options = (*options, "--samples", 2)
    for side, ask in (("native", both.ask_native), ("python", both.ask_python)):
        assert ask("in.png", "-o", f"{side}.png", *options).code == 0
    for view in (".compare.png", ".std.png"):
        native, python = (both.native / f"{side}{view}" for side in ("native", "python"))
        assert tags(native) == tags(python)
        icc = [PIL.Image.open(path).info.get("icc_profile") for path in (native, python)]
        assert icc[0] == icc[1]


def test_damaged_exif_is_left_out_and_the_profile_kept(
    both: BothTools, small_bundle: Path, photograph: Image
) -> None:
    path = both.native / "in.jpg"
    PIL.Image.fromarray(photograph[:12, :16]).save(
        path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff", icc_profile=PROFILE
    )
    for side, ask in (("native", both.ask_native), ("python", both.ask_python)):
        assert ask("in.jpg", "-o", f"{side}.png", "--bundle", small_bundle, "--steps", 0).err == ""
        written = read_photograph(both.native / f"{side}.png")
        assert written.exif is None
        assert written.colour_profile is not None
