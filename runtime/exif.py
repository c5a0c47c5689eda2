"""EXIF, the little of it that deblurring changes: a block is a small TIFF (EXIF 2.32, 4.5)."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
_DESCRIPTION = 0x010E
_ASCII, _SHORT = 2, 3
_PREFIX = b"Exif\0\0"  # some writers of WebP keep the marker that JPEG needs
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


def as_upright(block: bytes) -> bytes | None:
    """The block of a picture that has been turned upright, or None where ``block`` is damaged.

    Its orientation becomes 1, and its thumbnail, which shows the picture as it was stored, is
    unlinked: the first directory no longer points to the second, which describes the thumbnail.
    """
    data = bytearray(block.removeprefix(_PREFIX))
    order = _ORDERS.get(bytes(data[:4]))
    if order is None:
        return None
    try:
        (first,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, first)
        end = first + 2 + 12 * entries
        struct.pack_into(f"{order}I", data, end, 0)
        for at in range(first + 2, end, 12):
            if struct.unpack_from(f"{order}H", data, at) == (_ORIENTATION,):
                struct.pack_into(f"{order}HIHH", data, at + 2, _SHORT, 1, 1, 0)
    except struct.error:
        return None
    return bytes(data)


def describing(text: str) -> bytes:
    """A block that holds nothing but ``text`` as the picture's description, in ASCII."""
    value = text.encode("ascii", "replace") + b"\0"
    header = struct.pack(">2sHI", b"MM", 42, 8)
    directory = struct.pack(">HHHIII", 1, _DESCRIPTION, _ASCII, len(value), 26, 0)
    return header + directory + value
