"""What ``deblur`` accepts as a picture or a batch of them, made a numpy array without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.buffers import Buffers
from runtime.errors import ImageError, OptionError
from runtime.images import check_image

Images = NDArray[np.uint8]

# DLPack's numbers for memory that the CPU reads: plain, and pinned for CUDA.
_HOST_DEVICES = (1, 3)


def as_images(image: object) -> tuple[Images, bool]:
    """uint8 RGB (N, H, W, 3), a view of ``image``; and whether it was one picture (H, W, 3).

    Numpy arrays and whatever speaks DLPack on the CPU (torch, cupy's pinned memory, jax). Raises
    ImageError for anything else.
    """
    array = image if isinstance(image, np.ndarray) else _from_dlpack(image)
    if array.ndim != 4:
        return check_image(array)[None], True
    if array.dtype == np.uint8 and array.shape[3] == 3 and array.size > 0:
        return array, False
    hint = "transpose(0, 2, 3, 1) puts channels last" if array.shape[1] == 3 else "see to_uint8()"
    raise ImageError(
        f"got {array.dtype} {array.shape}; wanted is a batch of uint8 RGB pictures of one size, "
        f"(N, H, W, 3) with none of them 0: {hint}"
    )


def _from_dlpack(image: Any) -> NDArray[Any]:
    if hasattr(image, "__cuda_array_interface__"):
        raise _on_a_device("a CUDA array")
    if not (hasattr(image, "__dlpack__") and hasattr(image, "__dlpack_device__")):
        check_image(image)  # says what is wanted
    kind, _ = image.__dlpack_device__()
    if int(kind) not in _HOST_DEVICES:
        raise _on_a_device(f"a DLPack array on device kind {int(kind)}")
    try:
        return np.from_dlpack(image)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ImageError(
            f"got a {type(image).__name__} that numpy cannot read ({error}); wanted is uint8 RGB "
            "of shape (H, W, 3) in CPU memory: convert it first"
        ) from error


def _on_a_device(what: str) -> ImageError:
    return ImageError(
        f"got {what}; wanted is memory that the CPU reads, for the engines take pictures from "
        "there: copy it first, with .cpu() in torch or cupy.asnumpy()"
    )


def check_out(out: object, like: Images) -> Images:
    """``out`` if a result of the shape of ``like`` can be written into it, else OptionError."""
    right = (
        isinstance(out, np.ndarray)
        and out.dtype == np.uint8
        and out.shape == like.shape
        and out.flags.writeable
    )
    if isinstance(out, np.ndarray) and right:
        return out
    came = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
    raise OptionError(
        f"got out={came}; wanted is a writeable numpy array, uint8 {like.shape}, like the picture"
    )


def padded(images: Images, multiple_px: int, buffers: Buffers) -> Images:
    """``images`` reflected at the bottom and right up to multiples of ``multiple_px``.

    The same array where nothing has to be added, else one of ``buffers``.
    """
    bottom, right = (-side % multiple_px for side in images.shape[1:3])
    if bottom == 0 and right == 0:
        return images
    count, height, width, _ = images.shape
    whole = buffers.take_bytes("padded", (count, height + bottom, width + right, 3))
    whole[:, :height, :width] = images
    rows, columns = _reflected(height, bottom), _reflected(width, right)
    whole[:, height:, :width] = whole[:, rows, :width]
    whole[:, :, width:] = whole[:, :, columns]
    return whole


def _reflected(length: int, more: int) -> NDArray[np.intp]:
    """Where the ``more`` entries beyond ``length`` come from."""
    return np.pad(np.arange(length), (0, more), mode="reflect")[length:]
