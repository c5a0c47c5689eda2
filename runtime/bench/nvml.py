"""NVIDIA GPUs as their management library (NVML) describes them; needs ``nvidia-ml-py``."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import msgspec

# What slows a GPU down although there is work: NVML's nvmlClocksEventReason bits.
_THROTTLING = {
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "power brake",
}


class Gpu(msgspec.Struct, frozen=True):
    """One GPU: name, driver version, memory."""

    name: str
    driver: str
    memory_mib: int


@dataclass(frozen=True)
class Reading:
    """The state of a GPU at one moment; None for what this GPU does not tell.

    ``energy_j`` counts since the driver was loaded; ``memory_mib`` is what all processes hold.
    """

    memory_mib: float
    clock_mhz: int | None
    temperature_c: int | None
    power_w: float | None
    energy_j: float | None
    throttled: tuple[str, ...]


class Nvml:
    """An open connection to NVML; see :func:`open_nvml`."""

    def __init__(self, library: Any) -> None:
        self._library = library

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """All GPUs in NVML's order."""
        library, count = self._library, self._library.nvmlDeviceGetCount()
        driver = library.nvmlSystemGetDriverVersion()
        handles = [library.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        return tuple(
            Gpu(
                library.nvmlDeviceGetName(handle),
                driver,
                library.nvmlDeviceGetMemoryInfo(handle).total // 2**20,
            )
            for handle in handles
        )

    def read(self, index: int = 0) -> Reading:
        """The state of GPU ``index`` now."""
        library = self._library
        handle = library.nvmlDeviceGetHandleByIndex(index)
        return Reading(
            memory_mib=library.nvmlDeviceGetMemoryInfo(handle).used / 2**20,
            clock_mhz=self._ask("nvmlDeviceGetClockInfo", handle, library.NVML_CLOCK_SM),
            temperature_c=self._ask(
                "nvmlDeviceGetTemperature", handle, library.NVML_TEMPERATURE_GPU
            ),
            power_w=_thousandth(self._ask("nvmlDeviceGetPowerUsage", handle)),
            energy_j=_thousandth(self._ask("nvmlDeviceGetTotalEnergyConsumption", handle)),
            throttled=reasons(
                self._ask("nvmlDeviceGetCurrentClocksEventReasons", handle)
                or self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle)  # older drivers
                or 0
            ),
        )

    def _ask(self, function: str, *arguments: Any) -> Any:
        """NVML's answer, or None where this GPU has none."""
        try:
            return getattr(self._library, function)(*arguments)
        except self._library.NVMLError:
            return None


def open_nvml() -> Nvml | None:
    """Connect to NVML; None without ``nvidia-ml-py``, without a driver, and without a GPU."""
    if find_spec("pynvml") is None:
        return None
    library = importlib.import_module("pynvml")
    try:
        library.nvmlInit()
        return Nvml(library) if library.nvmlDeviceGetCount() else None
    except library.NVMLError:
        return None


def gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs of this machine; none where NVML does not answer."""
    connection = open_nvml()
    return connection.gpus if connection else ()


def reasons(bits: int) -> tuple[str, ...]:
    """The names of what throttles, from NVML's bits; idling and chosen clocks are not among it."""
    return tuple(name for bit, name in _THROTTLING.items() if bits & bit)


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000.0
