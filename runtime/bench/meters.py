"""What a block of calls cost besides time: energy, clocks, temperature, device memory.

A meter is asked before and after each block, outside the timed calls.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np

from runtime.bench.nvml import Nvml, Reading, open_nvml
from runtime.bench.tegrastats import TegraSample, parse_line
from runtime.errors import OptionError

_TEGRA_INTERVAL_MS = 100


class Usage(msgspec.Struct, frozen=True):
    """Over all blocks of one case; None for what the device does not tell.

    ``meter`` says who measured. ``energy_j_per_picture`` is the device's whole draw while it
    worked, idle share included; ``device_memory_mib`` the highest seen, of all processes;
    ``clock_mhz`` the lowest and ``temperature_c`` the highest seen right after a block.
    """

    meter: str
    energy_j_per_picture: float | None = None
    power_w: float | None = None
    clock_mhz: int | None = None
    temperature_c: float | None = None
    device_memory_mib: float | None = None
    throttled: tuple[str, ...] = ()


class Block(msgspec.Struct, frozen=True):
    """What one block of calls used; the fields are those of :class:`Usage`."""

    seconds: float
    energy_j: float | None
    clock_mhz: int | None
    temperature_c: float | None
    device_memory_mib: float | None
    throttled: tuple[str, ...] = ()


class Meter(Protocol):
    """Measures blocks; :attr:`name` says with what."""

    name: str

    def begin(self) -> None:
        """A block starts now."""

    def end(self) -> Block:
        """The block that was begun last is over."""

    def close(self) -> None:
        """Let go of what the meter holds."""


class NvmlMeter:
    """The GPU's own energy counter, or its momentary power where it has none."""

    name = "NVML"

    def __init__(self, connection: Nvml) -> None:
        self._connection = connection
        self._before: tuple[float, Reading] | None = None

    def begin(self) -> None:
        self._before = time.monotonic(), self._connection.read()

    def end(self) -> Block:
        assert self._before is not None
        began, before = self._before
        after, seconds = self._connection.read(), time.monotonic() - began
        if before.energy_j is not None and after.energy_j is not None:
            energy: float | None = after.energy_j - before.energy_j
        else:
            energy = None if after.power_w is None else after.power_w * seconds
        return Block(
            seconds=seconds,
            energy_j=energy,
            clock_mhz=after.clock_mhz,
            temperature_c=after.temperature_c,
            device_memory_mib=max(before.memory_mib, after.memory_mib),
            throttled=after.throttled,
        )

    def close(self) -> None:
        pass


class TegraMeter:
    """A running ``tegrastats``, read by a thread; energy is mean power times duration."""

    name = "tegrastats"

    def __init__(self, command: Sequence[str]) -> None:
        self._samples: deque[tuple[float, TegraSample]] = deque(maxlen=100_000)
        self._began = 0.0
        self._process = subprocess.Popen(  # noqa: S603 (found on the path, no shell)
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def begin(self) -> None:
        self._began = time.monotonic()

    def end(self) -> Block:
        # The line that covers the block's end is printed up to one interval later.
        ended = time.monotonic()
        time.sleep(1.5 * _TEGRA_INTERVAL_MS / 1000.0)
        return block_of(list(self._samples), self._began, ended)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        self._reader.join(timeout=10)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                self._samples.append((time.monotonic(), parse_line(line)))
            except OptionError:
                continue  # its first line is a heading on some releases


def block_of(samples: Sequence[tuple[float, TegraSample]], began_s: float, ended_s: float) -> Block:
    """What the samples (time in s, line) between two times say, and the first one after them."""
    inside = [sample for at, sample in samples if began_s <= at <= ended_s]
    later = [sample for at, sample in samples if at > ended_s]
    seen = inside + later[:1]
    powers = [sample.power_w for sample in seen if sample.power_w is not None]
    clocks = [sample.gpu_mhz for sample in seen if sample.gpu_mhz is not None]
    heats = [sample.hottest_c for sample in seen if sample.hottest_c is not None]
    seconds = ended_s - began_s
    return Block(
        seconds=seconds,
        energy_j=float(np.mean(powers)) * seconds if powers else None,
        clock_mhz=min(clocks, default=None),
        temperature_c=max(heats, default=None),
        device_memory_mib=max((float(sample.memory_used_mib) for sample in seen), default=None),
    )


def open_meter() -> Meter | None:
    """The meter of this machine: NVML, else ``tegrastats``; None where there is neither."""
    connection = open_nvml()
    if connection is not None:
        return NvmlMeter(connection)
    command = shutil.which("tegrastats")
    if command is not None:
        return TegraMeter([command, "--interval", str(_TEGRA_INTERVAL_MS)])
    return None


def total_usage(meter: str, blocks: Sequence[Block], pictures: int) -> Usage | None:
    """Add up the blocks of one case, in which ``pictures`` were made; None without a block."""
    if not blocks or pictures < 1:
        return None
    energies = [block.energy_j for block in blocks if block.energy_j is not None]
    whole = sum(energies) if len(energies) == len(blocks) else None
    clocks = [block.clock_mhz for block in blocks if block.clock_mhz is not None]
    heats = [block.temperature_c for block in blocks if block.temperature_c is not None]
    held = [block.device_memory_mib for block in blocks if block.device_memory_mib is not None]
    return Usage(
        meter=meter,
        energy_j_per_picture=None if whole is None else round(whole / pictures, 5),
        power_w=None if whole is None else round(whole / sum(b.seconds for b in blocks), 3),
        clock_mhz=min(clocks, default=None),
        temperature_c=max(heats, default=None),
        device_memory_mib=max(held, default=None),
        throttled=tuple(sorted({reason for block in blocks for reason in block.throttled})),
    )
