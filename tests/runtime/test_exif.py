from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.exif import as_upright, describing

EMPTY = b"MM\0*\0\0\0\x08\0\0\0\0\0\0"


def exif_of(block: bytes) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif.load(b"Exif\0\0" + block)
    return exif


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_orientation_becomes_one_in_either_byte_order(order: str) -> None:
    exif = PIL.Image.Exif()
    exif.endian = order
    exif.update({0x0112: 8, 0x010F: "Maker"})
    turned = as_upright(exif.tobytes())
    assert turned is not None
    assert dict(exif_of(turned)) == {0x0112: 1, 0x010F: "Maker"}


def test_the_thumbnail_is_no_longer_found() -> None:
    # One empty directory that points to a second one, also empty.
    block = EMPTY[:-4] + (14).to_bytes(4, "big") + bytes(6)
    turned = as_upright(block)
    assert turned is not None
    assert turned[: len(EMPTY)] == EMPTY


@pytest.mark.parametrize("block", [b"", b"none", EMPTY[:-1], b"II*\0\xff\xff\xff\xff"])
def test_a_damaged_block_is_dropped(block: bytes) -> None:
    assert as_upright(block) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_taken_or_dropped(tail: bytes) -> None:
    turned = as_upright(b"II*\0" + tail)
    assert turned is None or len(turned) == 4 + len(tail)


def test_a_description_can_be_read_back() -> None:
    file = io.BytesIO()
    picture = PIL.Image.fromarray(np.zeros((2, 2, 3), np.uint8))
    picture.save(file, "PNG", exif=describing("0 to 5 grey levels"))
    assert PIL.Image.open(file).getexif()[0x010E] == "0 to 5 grey levels"
