"""Pictures at the door: uint8 RGB arrays of shape (H, W, 3), and the files they live in.

``image`` is always uint8 RGB (H, W, 3) in this project; ``x``, ``y``, ``z`` are always float32
(N, 3, H, W) in model range [-1, 1].
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ImageError
from runtime.exif import as_upright
from runtime.files import write_whole

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_SUFFIXES_WITH_ALPHA = (".png", ".tif", ".tiff", ".webp")
# One JPEG segment, less its length and marker; PNG and WebP count with 32 bits.
_LONGEST_EXIF = {".jpeg": 65_527, ".jpg": 65_527, ".png": 2**31 - 1, ".webp": 2**31 - 1}

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"


@dataclass(frozen=True)
class Photograph:
    """A decoded picture file and what must go back into the file that is made from it.

    ``image`` is uint8 RGB (H, W, 3), upright. ``alpha`` is uint8 (H, W) or None, ``grayscale``
    says that the file had one channel, ``colour_profile`` is its ICC profile or None, ``exif`` its
    EXIF block, which no longer asks for the picture to be turned, or None.
    """

    image: Image
    alpha: Image | None = None
    grayscale: bool = False
    colour_profile: NDArray[np.uint8] | None = None
    exif: bytes | None = None


def check_image(image: object) -> Image:
    """Return ``image`` if it is uint8 RGB (H, W, 3) with at least one pixel, else raise ImageError.

    Read-only and non-contiguous arrays are fine.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(
            f"got {type(image).__name__}; wanted is a numpy array, uint8 RGB of shape (H, W, 3): "
            "convert it with numpy.asarray()"
        )
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0:
        return image
    raise ImageError(
        f"got {image.dtype} {image.shape}; wanted is uint8 RGB of shape (H, W, 3). "
        + _how_to_convert(image)
    )


def _how_to_convert(image: NDArray[Any]) -> str:
    if image.size == 0:
        return "An empty picture has nothing to deblur."
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return "For grayscale, pass numpy.repeat(image.reshape(H, W, 1), 3, axis=2)."
    if image.ndim == 4:
        return "For several pictures, call once for each."
    if image.ndim == 3 and image.shape[2] == 4:
        return "For RGBA, pass image[:, :, :3] and keep the alpha aside."
    if image.ndim == 3 and image.shape[0] == 3:
        return "For channels first, pass image.transpose(1, 2, 0)."
    return "For floats in [0, 1] or 16-bit pictures, call runtime.to_uint8() first."


def to_uint8(image: NDArray[Any]) -> Image:
    """Convert floats in [0, 1] or uint16 of any shape to uint8; uint8 comes back as it is.

    Raises ImageError for other dtypes and for floats outside [0, 1] or not finite.
    """
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return np.rint(image / 257.0).astype(np.uint8)
    if not np.issubdtype(image.dtype, np.floating):
        raise ImageError(f"got {image.dtype}; to_uint8() takes floats in [0, 1], uint16 or uint8")
    low, high = (float(image.min()), float(image.max())) if image.size else (0.0, 0.0)
    if not (low >= 0.0 and high <= 1.0):
        raise ImageError(
            f"got floats from {low:g} to {high:g}; to_uint8() takes [0, 1]: "
            "divide by the white level"
        )
    return np.rint(image * 255.0).astype(np.uint8)


def to_model(image: Image) -> Floats:
    """uint8 (H, W, 3) to float32 (1, 3, H, W) in [-1, 1]."""
    return pictures_to_model(image[None])


def pictures_to_model(images: Image, out: Floats | None = None) -> Floats:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [-1, 1], in ``out`` if given."""
    planes = images.transpose(0, 3, 1, 2)
    out = np.empty(planes.shape, np.float32) if out is None else out
    np.multiply(planes, np.float32(2.0 / 255.0), out=out)
    out -= np.float32(1.0)
    return out


def from_model(x: Floats) -> Image:
    """float32 (1, 3, H, W) in [-1, 1], clipped there, to uint8 (H, W, 3)."""
    return pictures_from_model(x[:1])[0]


def pictures_from_model(x: Floats, scratch: Floats | None = None) -> Image:
    """float32 (N, 3, H, W) in [-1, 1], clipped there, to uint8 (N, H, W, 3).

    ``scratch`` is overwritten: an array of the shape of ``x``, which may be ``x`` itself.
    """
    grey_levels = np.add(x, np.float32(1.0), out=scratch)
    grey_levels *= np.float32(127.5)
    np.rint(grey_levels, out=grey_levels)
    np.clip(grey_levels, 0.0, 255.0, out=grey_levels)
    pictures = np.empty((len(x), *x.shape[2:], x.shape[1]), np.uint8)
    pictures[:] = grey_levels.transpose(0, 2, 3, 1)
    return pictures


def read_image(path: Path) -> Image:
    """The picture in ``path`` as uint8 RGB (H, W, 3), upright; raises ImageError."""
    return read_photograph(path).image


def read_photograph(path: Path) -> Photograph:
    """Decode ``path``, turned upright as its EXIF orientation says.

    Raises ImageError where the file is missing, no picture, truncated, or not 8 bits a channel.
    """
    cv2 = _opencv()
    data = _read_bytes(path)
    stored, upright, metadata = _decode(cv2, data)
    if stored is None or upright is None:
        raise ImageError(
            f"{path} is no readable picture (truncated, damaged or of unknown format); "
            f"wanted is a whole file of {', '.join(SUFFIXES)}"
        )
    if stored.dtype != np.uint8:
        raise ImageError(
            f"{path} has {stored.dtype} samples; wanted are 8 bits a channel: convert it first"
        )
    image = np.ascontiguousarray(upright[:, :, ::-1])
    channels = 1 if stored.ndim == 2 else stored.shape[2]
    exif = metadata.get(cv2.IMAGE_METADATA_EXIF)
    return Photograph(
        image=image,
        alpha=_upright_alpha(stored, image) if channels == 4 else None,
        grayscale=channels == 1,
        colour_profile=metadata.get(cv2.IMAGE_METADATA_ICCP),
        exif=None if exif is None else as_upright(exif.tobytes()),
    )


def is_whole_png(path: Path) -> bool:
    """Whether ``path`` is a PNG with a beginning and an end; what lies between is not read."""
    try:
        with path.open("rb") as f:
            begins = f.read(len(_PNG_SIGNATURE)) == _PNG_SIGNATURE
            f.seek(-len(_PNG_END), os.SEEK_END)
            return begins and f.read() == _PNG_END
    except OSError:
        return False


def _decode(
    cv2: Any, data: NDArray[np.uint8]
) -> tuple[NDArray[Any] | None, Image | None, dict[int, NDArray[np.uint8]]]:
    """The pixels as stored, the same upright in BGR, and metadata (1, bytes) by kind.

    Colours and alpha need two readings: only the colour reading honours the orientation.
    """
    try:
        stored = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        if stored is None:
            return None, None, {}
        upright, kinds, payloads = cv2.imdecodeWithMetadata(data, cv2.IMREAD_COLOR)
    except cv2.error:  # more pixels than OpenCV takes, for instance
        return None, None, {}
    blocks = (np.asarray(payload, np.uint8).reshape(1, -1) for payload in payloads)
    return stored, upright, dict(zip(kinds, blocks, strict=True))


def _read_bytes(path: Path) -> NDArray[np.uint8]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}; give a picture file") from error
    if not data or _is_cut(data):
        raise ImageError(
            f"{path} is {'empty' if not data else 'truncated'}; wanted is a whole picture"
        )
    return np.frombuffer(data, np.uint8)


def _is_cut(data: bytes) -> bool:
    """Whether the end of a PNG or JPEG is missing.

    Decoders print their own complaint about it, and some fill a JPEG's missing part with grey.
    """
    if data.startswith(_PNG_SIGNATURE):
        return b"IEND" not in data[-64:]
    # A thumbnail has an end marker too, but at the file's start.
    return data.startswith(_JPEG_SIGNATURE) and data.rfind(_JPEG_END) < len(data) // 2


def _upright_alpha(stored: Image, image: Image) -> Image:
    if stored.shape[:2] != image.shape[:2]:
        raise ImageError(
            f"got a turned picture with transparency, {stored.shape[1]}x{stored.shape[0]} px; "
            "wanted is one that is stored upright: rotate it first"
        )
    return np.ascontiguousarray(stored[:, :, 3])


def write_photograph(path: Path, photograph: Photograph) -> None:
    """Encode to ``path`` by its suffix; the file appears whole or not at all.

    Raises ImageError where the suffix is unknown or cannot hold the picture, and OutputError where
    the place cannot be written.
    """
    cv2 = _opencv()
    check_output(path, photograph)
    kinds, payloads = _metadata_for(cv2, path.suffix.lower(), photograph)
    pixels = _stored_channels(cv2, photograph)
    done, encoded = cv2.imencodeWithMetadata(path.suffix, pixels, kinds, payloads)
    if not done:
        raise ImageError(f"{path} could not be encoded as {path.suffix}; choose another suffix")
    write_whole(path, encoded.tobytes())


def _metadata_for(
    cv2: Any, suffix: str, photograph: Photograph
) -> tuple[list[int], list[NDArray[np.uint8]]]:
    """Kinds and blocks of what a file of that suffix can hold."""
    kinds, payloads = [], []
    if photograph.colour_profile is not None and suffix != ".bmp":
        kinds.append(cv2.IMAGE_METADATA_ICCP)
        payloads.append(photograph.colour_profile)
    exif = photograph.exif
    limit = _LONGEST_EXIF.get(suffix, 0)
    if exif is not None and len(exif) <= limit:
        kinds.append(cv2.IMAGE_METADATA_EXIF)
        payloads.append(np.frombuffer(exif, np.uint8).reshape(1, -1))
    return kinds, payloads


def check_output(path: Path, photograph: Photograph | None = None) -> None:
    """Raise ImageError now for an output that could not be written after the work is done.

    With ``photograph``, also for a format that cannot hold its transparency.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(
            f"{path} has the suffix '{path.suffix}'; wanted is one of {', '.join(SUFFIXES)}"
        )
    transparent = photograph is not None and photograph.alpha is not None
    if transparent and path.suffix.lower() not in _SUFFIXES_WITH_ALPHA:
        raise ImageError(
            f"got a picture with transparency, which {path.suffix} cannot hold; "
            f"write one of {', '.join(_SUFFIXES_WITH_ALPHA)}"
        )
    if path.is_dir():
        raise ImageError(f"{path} is a folder; give the name of the picture to write")
    if not path.parent.is_dir():
        raise ImageError(f"no folder {path.parent} to write {path.name} into; create it first")
    if not os.access(path.parent, os.W_OK):
        raise ImageError(f"no permission to write into {path.parent}; choose another output")


def _stored_channels(cv2: Any, photograph: Photograph) -> Image:
    if photograph.grayscale:
        return np.asarray(cv2.cvtColor(photograph.image, cv2.COLOR_RGB2GRAY), np.uint8)
    bgr = photograph.image[:, :, ::-1]
    if photograph.alpha is not None:
        return np.ascontiguousarray(np.dstack([bgr, photograph.alpha]))
    return np.ascontiguousarray(bgr)


def _opencv() -> Any:
    """OpenCV, imported when a file is first touched, and quiet: our errors name the cause."""
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
