"""Lines of NVIDIA's ``tegrastats``, as Xavier, Orin and Thor boards of JetPack 4 to 7 print them.

The fields and their meaning: Jetson Linux Developer Guide, "Tegrastats Utility". Power rails:
the same guide, "Platform Power and Performance", section on power monitors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from runtime.errors import OptionError

_MEMORY = re.compile(r"\bRAM (\d+)/(\d+)MB")
# "GR3D_FREQ 95%@1377", "12%@[1300,1300]", "@[1000,1000]", or the load alone.
_GPU = re.compile(r"\bGR3D_FREQ (?:(\d+)%)?(?:@\[?(\d+))?")
_TEMPERATURE = re.compile(r"\b([A-Za-z]\w*)@(-?\d+(?:\.\d+)?)C")
# "GPU 18401/18525" of JetPack 4, "VDD_IN 5765mW/5700mW" later, and a third number with the peak.
_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]*) (\d+)(?:mW)?/(\d+)(?:mW)?(?:/\d+mW)?(?= |$)")
# What the board draws is one rail on most, and a sum on the two AGX families that have none.
_WHOLE_BOARD = ("VIN", "VDD_IN", "POM_5V_IN")
_SUMS = (
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
)


@dataclass(frozen=True)
class TegraSample:
    """One line: memory in MiB, GPU load and clock, temperatures and rails by name.

    ``rails_mw`` are momentary. What a board does not print is None, or missing from the mapping.
    """

    memory_used_mib: int
    memory_total_mib: int
    gpu_load: float | None
    gpu_mhz: int | None
    temperatures_c: dict[str, float]
    rails_mw: dict[str, int]

    @property
    def power_w(self) -> float | None:
        """What the whole module draws; None where its rails are not known to cover it."""
        for name in _WHOLE_BOARD:
            if name in self.rails_mw:
                return self.rails_mw[name] / 1000.0
        for names in _SUMS:
            if all(name in self.rails_mw for name in names):
                return sum(self.rails_mw[name] for name in names) / 1000.0
        return None

    @property
    def hottest_c(self) -> float | None:
        """The highest temperature on the board, sensors that are switched off left out."""
        # A sensor without power reads -256; the PMIC's is a fixed 50 or 100 on many boards.
        known = [
            value
            for name, value in self.temperatures_c.items()
            if value > -200.0 and name.upper() != "PMIC"
        ]
        return max(known) if known else None


def parse_line(line: str) -> TegraSample:
    """Read one line of ``tegrastats``; raises OptionError where it is none."""
    memory = _MEMORY.search(line)
    if memory is None:
        raise OptionError(
            f"got '{line.strip()[:80]}'; wanted is a line of tegrastats, with 'RAM X/YMB' in it"
        )
    gpu = _GPU.search(line)
    load, clock = gpu.groups() if gpu else (None, None)
    return TegraSample(
        memory_used_mib=int(memory[1]),
        memory_total_mib=int(memory[2]),
        gpu_load=None if load is None else int(load) / 100.0,
        gpu_mhz=None if clock is None else int(clock),
        temperatures_c={name: float(value) for name, value in _TEMPERATURE.findall(line)},
        rails_mw={
            name: int(now) for name, now, _ in _RAIL.findall(line) if name not in ("RAM", "SWAP")
        },
    )
