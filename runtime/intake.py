"""What ``deblur`` accepts as a picture or a batch of them, taken without a copy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.buffers import Buffers
from runtime.device_images import DeviceImages, as_device_images, as_device_target, is_on_cuda
from runtime.errors import ImageError, OptionError
from runtime.images import check_image

Images = NDArray[np.uint8]

# DLPack's numbers for memory that the CPU reads: plain, and pinned for CUDA.
_HOST_DEVICES = (1, 3)


def as_images(image: object, cuda_device: int | None = None) -> tuple[Images | DeviceImages, bool]:
    """uint8 RGB (N, H, W, 3), a view of ``image``; and whether it was one picture (H, W, 3).

    Numpy arrays, whatever speaks DLPack on the CPU (torch, cupy's pinned memory, jax), and for an
    engine on ``cuda_device`` what lies there. Raises ImageError for anything else.
    """
    if not isinstance(image, np.ndarray) and is_on_cuda(image):
        return as_device_images(image, cuda_device)
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
    if not (hasattr(image, "__dlpack__") and hasattr(image, "__dlpack_device__")):
        check_image(image)  # says what is wanted
    kind, _ = image.__dlpack_device__()
    if int(kind) not in _HOST_DEVICES:
        raise ImageError(
            f"got a DLPack array on device kind {int(kind)}; wanted is memory that the CPU reads: "
            "copy it first, with .cpu() in torch"
        )
    try:
        return np.from_dlpack(image)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ImageError(
            f"got a {type(image).__name__} that numpy cannot read ({error}); wanted is uint8 RGB "
            "of shape (H, W, 3) in CPU memory: convert it first"
        ) from error


def check_out(out: object, like: tuple[int, ...], cuda_device: int | None = None) -> Any:
    """``out`` if a result of the shape ``like`` can be written into it, else OptionError.

    An array on the ``cuda_device`` of an engine comes as DeviceImages.
    """
    if isinstance(out, np.ndarray):
        if out.dtype == np.uint8 and out.shape == like and out.flags.writeable:
            return out
    elif is_on_cuda(out):
        return as_device_target(out, cuda_device, like)
    came = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
    raise OptionError(
        f"got out={came}; wanted is a writeable numpy array, uint8 {like}, like the picture"
    )


def for_networks(
    images: Images | DeviceImages, multiple_px: int, buffers: Buffers, *, bgr: bool
) -> Images | DeviceImages:
    """``images`` as RGB, with sides that are multiples of ``multiple_px``; see :func:`padded`."""
    if isinstance(images, DeviceImages):
        return replace(images, multiple_px=multiple_px, bgr=bgr)
    return padded(images[..., ::-1] if bgr else images, multiple_px, buffers)


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
