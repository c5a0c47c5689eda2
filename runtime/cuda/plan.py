"""How one call is laid out on the device: how much at once, and which buffers that takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.cuda.memory import ALIGNMENT, aligned
from runtime.device_images import DeviceImages
from runtime.engines import Request
from runtime.samplers import COLUMNS, Table

_FLOAT_BYTES = 4
# Inputs and outputs travel with a head: see kernels.cu. What follows it stays aligned.
HEAD_BYTES = ALIGNMENT
# Each row of a table starts at an aligned address.
ROW_BYTES = ALIGNMENT


@dataclass(frozen=True)
class Layout:
    """One run of the loop: ``pictures`` of one size, ``samples`` of each, ``at_once`` of a batch.

    ``at_once`` divides ``samples``. With ``resident`` noise every field of it stays on the device;
    else each is made just before its step. ``extras`` may name "std" and "samples". Pictures come
    from the host and go there, or stay ``from_device``, ``to_device``.
    """

    pictures: int
    height_px: int
    width_px: int
    samples: int
    at_once: int
    start: float
    rows: NDArray[np.float32]
    resident: bool
    extras: tuple[str, ...] = ()
    from_device: bool = False
    to_device: bool = False

    @property
    def pixels(self) -> int:
        """Pixels of one picture."""
        return self.height_px * self.width_px

    @property
    def turns(self) -> int:
        """How often the sampler runs, with ``at_once`` samples each time."""
        return self.samples // self.at_once

    @property
    def predictor_shape(self) -> tuple[int, int, int, int]:
        return self.pictures, 3, self.height_px, self.width_px

    @property
    def step_shape(self) -> tuple[int, int, int, int]:
        return self.pictures * self.at_once, 3, self.height_px, self.width_px

    @property
    def noisy_steps(self) -> tuple[int, ...]:
        """The steps whose noise is used: 0 is the start, k + 1 belongs to row k."""
        if not len(self.rows):
            return ()
        return 0, *(int(k) + 1 for k in np.flatnonzero(self.rows[:, -1]))

    @property
    def batch_floats(self) -> int:
        """Numbers in one float picture of the step's batch."""
        return self.at_once * self.pictures * 3 * self.pixels

    @property
    def picture_bytes(self) -> int:
        """All pictures as uint8."""
        return 3 * self.pixels * self.pictures

    @property
    def input_bytes(self) -> int:
        """Head and pictures."""
        return HEAD_BYTES + self.picture_bytes

    @property
    def uploaded_bytes(self) -> int:
        """What of the input comes from the host."""
        return HEAD_BYTES if self.from_device else self.input_bytes

    @property
    def output_parts(self) -> dict[str, tuple[int, int]]:
        """(offset, bytes) of each of ``extras`` and, last, of "pictures"."""
        sizes = {}
        if "std" in self.extras:
            sizes["std"] = _FLOAT_BYTES * self.picture_bytes
        if "samples" in self.extras:
            sizes["samples"] = self.samples * self.picture_bytes
        sizes["pictures"] = self.picture_bytes
        parts, offset = {}, HEAD_BYTES
        for name, size in sizes.items():
            parts[name] = (offset, size)
            offset += aligned(size)
        return parts

    @property
    def output_bytes(self) -> int:
        """Head and all parts."""
        offset, size = self.output_parts["pictures"]
        return offset + size

    @property
    def downloaded_bytes(self) -> int:
        """What of the output goes to the host."""
        return self.output_parts["pictures"][0] if self.to_device else self.output_bytes

    def noise_bytes(self, resident: bool) -> int:
        """Memory of the noise, kept or made anew."""
        fields = len(self.noisy_steps) * (self.turns if resident else 1)
        return _FLOAT_BYTES * self.batch_floats * (fields if resident else min(fields, 1))

    def buffers(self) -> dict[str, int]:
        """Names and bytes of all device buffers."""
        one, batch = _FLOAT_BYTES * self.picture_bytes, _FLOAT_BYTES * self.batch_floats
        sizes = {"input": self.input_bytes, "output": self.output_bytes, "y": batch, "guess": one}
        if len(self.rows):
            sizes |= dict.fromkeys(("z0", "z1", "residual0", "residual1", "zero"), batch)
            sizes |= dict.fromkeys(("mean", "squares"), one)
            sizes["rows"] = ROW_BYTES * len(self.rows)
            sizes["noise"] = self.noise_bytes(self.resident)
        return sizes

    def buffer_bytes(self) -> int:
        """Device memory of all buffers."""
        return sum(aligned(size) for size in self.buffers().values())


def lay_out(request: Request, pictures: int, at_once: int) -> Layout:
    """``pictures`` of ``request`` in one run, ``at_once`` of their samples in a batch."""
    _, height_px, width_px, _ = request.images.shape
    steps = request.table.steps
    return Layout(
        pictures=pictures,
        height_px=height_px,
        width_px=width_px,
        samples=request.samples if steps else 1,
        at_once=at_once,
        start=float(np.float32(request.table.start)),
        rows=table_rows(request.table).reshape(steps, len(COLUMNS)),
        resident=True,
        extras=extras_of(request) if steps else (),
        from_device=isinstance(request.images, DeviceImages),
        # Without steps the samples are the picture, of which the host makes as many as are asked.
        to_device=request.target is not None and (steps > 0 or not request.want_samples),
    )


def extras_of(request: Request) -> tuple[str, ...]:
    """What comes back beside the pictures: "std", "samples"."""
    asked = {"std": request.want_std, "samples": request.want_samples}
    return tuple(name for name, wanted in asked.items() if wanted)


def table_rows(table: Table) -> NDArray[np.float32]:
    """The rows as the networks take them, float32 (steps, 7)."""
    return np.ascontiguousarray(table.rows, np.float32)


def table_checksum(table: Table) -> str:
    """A short checksum of what a table does."""
    data = np.float32(table.start).tobytes() + table_rows(table).tobytes()
    return hashlib.sha256(data).hexdigest()[:16]


def turns_to_try(pictures: int, samples: int) -> Iterator[tuple[int, int]]:
    """(pictures, samples) at once, the largest first; the samples at once divide all of them."""
    divisors = [count for count in range(samples, 0, -1) if samples % count == 0]
    for count in range(pictures, 0, -1):
        for at_once in divisors:
            yield count, at_once
