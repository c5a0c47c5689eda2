"""The kernels between the networks: their source, compiled for the GPU at hand, and their calls."""

from __future__ import annotations

from ctypes import c_float, c_uint64
from pathlib import Path

from runtime.cuda.driver import Driver

SOURCE = Path(__file__).with_suffix(".cu")
NAMES = ("to_model", "to_picture", "scale", "accumulate", "to_spread", "normals", "recut")

_NORMALS_PER_THREAD = 8


class Kernels:
    """One method for each kernel of ``kernels.cu``; all put work on the driver's stream.

    Addresses are those of device memory; ``pixels`` are those of one picture; 0 stands for none.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._functions = driver.load_kernels(SOURCE.read_text(encoding="utf-8"), NAMES)

    def to_model(
        self, picture: int, y: int, pictures: int, pixels: int, copies: int, head_out: int
    ) -> None:
        """uint8 (pictures, H, W, 3) to float32 (copies * pictures, 3, H, W); resets the head."""
        self._launch("to_model", pictures * pixels, picture, y, pictures, pixels, copies, head_out)

    def to_picture(
        self,
        guess: int,
        residual: int,
        picture: int,
        pictures: int,
        pixels: int,
        stride: int,
        head_in: int,
        head_out: int,
    ) -> None:
        """The sum of both as uint8, ``stride`` bytes from picture to picture; passes the ticket."""
        self._launch(
            "to_picture",
            pictures * pixels,
            guess,
            residual,
            picture,
            pictures,
            pixels,
            stride,
            head_in,
            head_out,
        )

    def scale(self, source: int, target: int, factor: float, count: int) -> None:
        """``count`` floats times ``factor``."""
        self._launch("scale", count, source, target, factor, count)

    def accumulate(
        self, values: int, mean: int, squares: int, seen: int, samples: int, count: int
    ) -> None:
        """Take ``samples`` fields of ``count`` floats into the running mean and squares."""
        self._launch("accumulate", count, values, mean, squares, seen, samples, count)

    def to_spread(
        self, squares: int, spread: int, pictures: int, pixels: int, samples: int
    ) -> None:
        """Standard deviation in grey levels, float32 (pictures, H, W, 3)."""
        self._launch("to_spread", pictures * pixels, squares, spread, pictures, pixels, samples)

    def normals(
        self,
        field: int,
        head_in: int,
        first: int,
        step: int,
        samples: int,
        pictures: int,
        height_px: int,
        width_px: int,
    ) -> None:
        """Noise float32 (samples * pictures, 3, H, W) of one step for samples from ``first`` on."""
        threads = samples * height_px * -(-3 * width_px // _NORMALS_PER_THREAD)
        self._launch(
            "normals",
            threads,
            field,
            head_in,
            first,
            step,
            samples,
            pictures,
            height_px,
            width_px,
        )

    def recut(
        self,
        source: int,
        target: int,
        pictures: int,
        source_px: tuple[int, int],
        target_px: tuple[int, int],
        *,
        turned: bool,
    ) -> None:
        """uint8 (pictures, H, W, 3) of one height and width at another: reflected, or cut off.

        With ``turned`` the channels change their order.
        """
        self._launch(
            "recut",
            pictures * target_px[0] * target_px[1],
            source,
            target,
            pictures,
            *source_px,
            *target_px,
            int(turned),
        )

    def _launch(self, name: str, threads: int, *arguments: int | float) -> None:
        packed = [c_float(a) if isinstance(a, float) else c_uint64(a) for a in arguments]
        self._driver.launch(self._functions[name], threads, packed)
