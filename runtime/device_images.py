"""Pictures that lie on a CUDA device already: described, never copied to the host.

Two protocols show them. With DLPack the array's owner lets a stream that it is told wait for its
own (dmlc.github.io/dlpack/latest/python_spec.html); ``__cuda_array_interface__`` names the stream
to wait for (numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html).
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from runtime.errors import ImageError, OptionError

# DLPack's numbers for memory that a CUDA device holds: its own, and managed.
_CUDA_KINDS = (2, 13)
_UINT8 = (1, 8, 1)  # DLPack's kind of number, bits, lanes
_DO_NOT_ORDER = -1
_LEGACY_STREAM = 1


class Stream(Protocol):
    """A CUDA stream that can be made to wait: :class:`runtime.cuda.driver.Driver` has it."""

    @property
    def stream(self) -> int: ...

    def wait_for(self, stream: int) -> None: ...


@dataclass(frozen=True)
class DeviceImages:
    """uint8 RGB pictures of one size on a CUDA device, one behind the other, from ``address`` on.

    ``order`` makes a stream wait for what is still being done with the memory; ``owner`` keeps the
    memory alive. With ``bgr`` colours lie in OpenCV's order. Networks see the pictures as
    ``shape``: reflected at the bottom and right up to multiples of ``multiple_px``.
    """

    address: int
    count: int
    height_px: int
    width_px: int
    order: Callable[[Stream], None]
    owner: object
    multiple_px: int = 1
    bgr: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, 3) with the reflected margin."""
        height, width = (
            -(-side // self.multiple_px) * self.multiple_px
            for side in (self.height_px, self.width_px)
        )
        return self.count, height, width, 3

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, part: slice) -> DeviceImages:
        first, end, _ = part.indices(self.count)
        offset = first * 3 * self.height_px * self.width_px
        return replace(self, address=self.address + offset, count=end - first)


def is_on_cuda(array: Any) -> bool:
    """Whether ``array`` shows CUDA memory by one of the two protocols."""
    if _speaks_dlpack(array):
        kind, _ = array.__dlpack_device__()
        return int(kind) in _CUDA_KINDS
    return hasattr(array, "__cuda_array_interface__")


def as_device_images(array: Any, ordinal: int | None) -> tuple[DeviceImages, bool]:
    """``array`` (H, W, 3) or (N, H, W, 3) on the CUDA device ``ordinal``; and whether it was one.

    ``ordinal`` None is an engine that reads from the host only. Raises ImageError.
    """
    seen = _see(array, ordinal)
    return _described(seen), len(seen.shape) == 3


def as_device_target(array: Any, ordinal: int | None, shape: tuple[int, ...]) -> DeviceImages:
    """``array`` on the CUDA device ``ordinal``, to be written to: as uint8 of ``shape``.

    Raises ImageError where it is no picture, and OptionError where it is not the right one.
    """
    seen = _see(array, ordinal)
    if seen.shape != shape or seen.read_only:
        raise OptionError(
            f"got out={'read-only ' if seen.read_only else ''}CUDA array of {seen}; wanted is a "
            f"writeable one, contiguous uint8 {shape}, like the picture"
        )
    return _described(seen)


@dataclass(frozen=True)
class _Seen:
    """What an array says of itself; strides are in elements, None where nothing lies between."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    dtype: str
    order: Callable[[Stream], None]
    owner: object
    read_only: bool = False

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}{'' if _is_contiguous(self) else ', not contiguous'}"


def _described(seen: _Seen) -> DeviceImages:
    shape = (1, *seen.shape) if len(seen.shape) == 3 else seen.shape
    right = len(shape) == 4 and shape[3] == 3 and math.prod(shape) > 0
    if not (right and seen.dtype == "uint8" and _is_contiguous(seen)):
        raise ImageError(
            f"got a CUDA array of {seen}; wanted is contiguous uint8 RGB (H, W, 3) or "
            "(N, H, W, 3): in torch, .permute(1, 2, 0).contiguous() puts channels last"
        )
    count, height_px, width_px, _ = shape
    return DeviceImages(seen.address, count, height_px, width_px, seen.order, seen.owner)


def _is_contiguous(seen: _Seen) -> bool:
    expected = 1
    for side, stride in zip(reversed(seen.shape), reversed(seen.strides or ()), strict=False):
        # An axis of one entry is never stepped along.
        if side != 1 and stride != expected:
            return False
        expected *= side
    return True


def _see(array: Any, ordinal: int | None) -> _Seen:
    if ordinal is None:
        raise ImageError(
            "got a CUDA array; wanted is memory that the CPU reads, for this session's engine "
            "takes pictures from there: copy it first, with .cpu() in torch or cupy.asnumpy(), or "
            "name the engine tensorrt or tensorrt-rtx, which takes it as it is"
        )
    return _from_dlpack(array, ordinal) if _speaks_dlpack(array) else _from_interface(array)


def _speaks_dlpack(array: object) -> bool:
    return hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__")


def _from_interface(array: Any) -> _Seen:
    shown = array.__cuda_array_interface__
    # What names no stream, as before version 3, is worked on in the default one.
    stream = shown.get("stream", _LEGACY_STREAM)

    def order(ours: Stream) -> None:
        if stream is not None:
            ours.wait_for(int(stream))

    address, read_only = shown["data"]
    typestr, strides = str(shown["typestr"]), shown.get("strides")
    return _Seen(
        address=int(address),
        shape=tuple(int(side) for side in shown["shape"]),
        strides=None if strides is None else tuple(int(stride) for stride in strides),
        dtype="uint8" if typestr[1:] == "u1" else f"type '{typestr}'",
        order=order,
        owner=array,
        read_only=bool(read_only),
    )


class _Device(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int32), ("ordinal", ctypes.c_int32))


class _Type(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    """``DLTensor`` of dlpack.h, with which a ``DLManagedTensor`` begins."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


def _from_dlpack(array: Any, ordinal: int) -> _Seen:
    _, at = array.__dlpack_device__()
    if int(at) != ordinal:
        raise ImageError(
            f"got an array on CUDA device {int(at)}; wanted is device {ordinal}, where the engine "
            "runs: copy it there first"
        )
    # The capsule is not consumed: the producer lets its part go when the capsule goes.
    try:
        capsule = array.__dlpack__(stream=_DO_NOT_ORDER)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ImageError(
            f"got a {type(array).__name__} on the GPU that gives nothing out ({error}); wanted is "
            "contiguous uint8 RGB (H, W, 3): convert it first"
        ) from error
    tensor = _Tensor.from_address(_pointer_in(capsule, b"dltensor"))
    dtype = (tensor.dtype.kind, tensor.dtype.bits, tensor.dtype.lanes)
    return _Seen(
        address=int(tensor.data or 0) + tensor.byte_offset,
        shape=tuple(tensor.shape[: tensor.ndim]),
        strides=tuple(tensor.strides[: tensor.ndim]) if tensor.strides else None,
        dtype="uint8" if dtype == _UINT8 else f"DLPack type {dtype}",
        order=lambda ours: array.__dlpack__(stream=ours.stream),
        owner=(array, capsule),
    )


# Where a capsule's DLManagedTensor lies (CPython's C API, "Capsules").
_pointer_in = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
