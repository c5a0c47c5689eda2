"""cpp_bindings/include/dvsr/dvsr.h for Python's ctypes, so that no binding needs to be built."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FROM_PRESET = FREE_MEMORY = -(2**63)


class Picture(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("height_px", ctypes.c_int64),
        ("width_px", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("row_bytes", ctypes.c_int64),
    )


class Options(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("steps", ctypes.c_int64),
        ("samples", ctypes.c_int64),
        ("seed", ctypes.c_uint64),
        ("preset", ctypes.c_char_p),
        ("self_ensemble", ctypes.c_int64),
        ("strength", ctypes.c_double),
    )


class SessionOptions(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("engine", ctypes.c_char_p),
        ("memory_mib", ctypes.c_int64),
    )


class LibraryError(Exception):
    """A status other than 0, with the library's words."""


class Library:
    """The functions of the header, with exceptions for statuses."""

    def __init__(self, functions: ctypes.CDLL) -> None:
        self._functions = functions
        functions.dvsr_last_error.restype = ctypes.c_char_p

    def normals(
        self, seed: int, sample: int, step: int, height_px: int, width_px: int
    ) -> NDArray[np.float32]:
        field = np.empty((3, height_px, width_px), np.float32)
        self._check(
            self._functions.dvsr_normals(
                ctypes.c_uint64(seed),
                ctypes.c_uint32(sample),
                ctypes.c_uint32(step),
                ctypes.c_int64(height_px),
                ctypes.c_int64(width_px),
                ctypes.c_void_p(field.ctypes.data),
            )
        )
        return field

    def open(
        self, bundle: Path, engine: str = "onnx-cpu", memory_mib: int | None = None
    ) -> NativeSession:
        handle = ctypes.c_void_p()
        options = SessionOptions(
            ctypes.sizeof(SessionOptions),
            engine.encode(),
            FREE_MEMORY if memory_mib is None else memory_mib,
        )
        self._check(
            self._functions.dvsr_session_open_with(
                str(bundle).encode(), ctypes.byref(options), ctypes.byref(handle)
            )
        )
        return NativeSession(self, handle)

    def deblur(
        self, session: ctypes.c_void_p, image: NDArray[np.uint8], options: Options
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        sharp = np.empty_like(image)
        spread = np.empty(image.shape, np.float32)
        self._check(
            self._functions.dvsr_deblur(
                session,
                ctypes.byref(_picture(image)),
                ctypes.byref(options),
                ctypes.byref(_picture(sharp)),
                ctypes.c_void_p(spread.ctypes.data),
            )
        )
        return sharp, spread

    def close(self, session: ctypes.c_void_p) -> None:
        self._functions.dvsr_session_close(session)

    def _check(self, status: int) -> None:
        if status != 0:
            raise LibraryError(self._functions.dvsr_last_error().decode())


class NativeSession:
    """An open session of the library."""

    def __init__(self, library: Library, handle: ctypes.c_void_p) -> None:
        self._library = library
        self.handle = handle

    def __enter__(self) -> NativeSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.close(self.handle)

    def deblur(
        self,
        image: NDArray[np.uint8],
        *,
        steps: int | None = None,
        samples: int | None = None,
        seed: int = 0,
        preset: str | None = None,
        self_ensemble: int | None = None,
        strength: float = 0.0,
        struct_size: int = ctypes.sizeof(Options),
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The picture and the spread of its samples; ``struct_size`` is the caller's header's."""
        options = Options(
            struct_size,
            FROM_PRESET if steps is None else steps,
            FROM_PRESET if samples is None else samples,
            seed,
            None if preset is None else preset.encode(),
            FROM_PRESET if self_ensemble is None else self_ensemble,
            strength,
        )
        return self._library.deblur(self.handle, image, options)


def _picture(image: NDArray[np.uint8]) -> Picture:
    height, width, channels = image.shape
    return Picture(ctypes.sizeof(Picture), image.ctypes.data, height, width, channels, 0)
