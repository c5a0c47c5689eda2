"""Lines as boards printed them, posted by their owners in public issue trackers and test suites."""

from __future__ import annotations

import pytest

from runtime.bench.tegrastats import parse_line
from runtime.errors import OptionError

# AGX Xavier, JetPack 4: rails without units.
XAVIER_JETPACK_4 = (
    "RAM 10881/31919MB (lfb 4230x4MB) SWAP 0/15959MB (cached 0MB) CPU [17%@1190,17%@1190,"
    "18%@1190,25%@1190,17%@1336,15%@1340,23%@1543,15%@1574] EMC_FREQ 55%@2133 GR3D_FREQ 95%@1377 "
    "APE 150 MTS fg 0% bg 10% AO@48C GPU@54.5C Tdiode@53.25C PMIC@100C AUX@46C CPU@49C "
    "thermal@49.45C Tboard@47C GPU 18401/18525 CPU 2301/2330 SOC 4602/4602 CV 0/0 VDDRQ 2914/2911 "
    "SYS5V 4632/4620"
)
# AGX Xavier, JetPack 5: rails with units.
XAVIER_JETPACK_5 = (
    "RAM 2020/31919MB (lfb 1164x4MB) CPU [0%@1190,1%@1190,0%@1190,0%@1189,0%@1190,0%@1191,0%@1190,"
    "0%@1190] EMC_FREQ 0%@1331 GR3D_FREQ 0%@114 VIC_FREQ 115 APE 150 AUX@36C CPU@36.5C "
    "thermal@35.7C Tboard@37C AO@35C GPU@35C Tdiode@38.75C PMIC@50C GPU 467mW/467mW CPU "
    "467mW/467mW SOC 1245mW/1245mW CV 0mW/0mW VDDRQ 311mW/311mW SYS5V 2768mW/2768mW"
)
# AGX Orin, JetPack 7.2: a time stamp, a clock for each GPC, three numbers a rail.
ORIN_JETPACK_7 = (
    "07-25-2026 09:08:28 RAM 20642/62817MB (lfb 1x2MB) CPU [23%@2201,10%@2201,4%@2201,14%@2201,"
    "30%@2201,18%@2201,10%@2201,10%@2201,33%@2201,7%@2201,5%@2201,27%@2201] EMC_FREQ 3%@3199 "
    "GR3D_FREQ 12%@[1300,1300] NVENC0 off NVDEC0 off NVJPG0 off NVJPG1 off VIC off OFA off NVDLA0 "
    "off NVDLA1 off PVA0_FREQ off APE 174 cpu@52.968C/52.968C soc2@48.406C/48.406C "
    "soc0@49.531C/49.531C gpu@47.625C/47.625C VDD_GPU_SOC 5139mW/5139mW/5139mW VDD_CPU_CV "
    "3268mW/3268mW/3268mW VIN_SYS_5V0 5500mW/5500mW/5500mW"
)
# AGX Thor: no GR3D_FREQ, and a rail for everything.
THOR = (
    "07-31-2026 14:45:55 RAM 86905/125772MB (lfb 368x4MB) CPU [12%@972,10%@972,off,33%@1890] "
    "cpu@39.812C tj@39.906C soc012@38.812C gpu@39.906C soc345@38.625C VDD_GPU 3561mW/3561mW "
    "VDD_CPU_SOC_MSS 7910mW/7910mW VIN_SYS_5V0 7620mW/7620mW VIN 26686mW/26686mW"
)
# The rails of an Orin Nano or NX and of a Xavier NX, in the form of JetPack 4.
NX = (
    "RAM 3347/7467MB (lfb 896x4MB) SWAP 0/3733MB (cached 0MB) CPU [21%@1190,19%@1190,18%@1190,"
    "21%@1190,20%@1190,20%@1190] EMC_FREQ 13%@2133 GR3D_FREQ 61% APE 150 VDD_IN 5336/4970 "
    "VDD_CPU_GPU_CV 2617/2336 VDD_SOC 1478/1318 CV0@-256C GPU@49.2C PMIC@50.0C AO@48.5C"
)


@pytest.mark.parametrize(
    ("line", "power_w"),
    [
        (XAVIER_JETPACK_4, 18.401 + 2.301 + 4.602 + 0.0 + 2.914 + 4.632),
        (XAVIER_JETPACK_5, 0.467 + 0.467 + 1.245 + 0.0 + 0.311 + 2.768),
        (ORIN_JETPACK_7, 5.139 + 3.268 + 5.5),
        (THOR, 26.686),
        (NX, 5.336),
    ],
)
def test_the_boards_power_is_its_whole_rail_or_the_sum_that_covers_it(
    line: str, power_w: float
) -> None:
    assert parse_line(line).power_w == pytest.approx(power_w)


@pytest.mark.parametrize(
    ("line", "used", "total"),
    [(XAVIER_JETPACK_4, 10881, 31919), (ORIN_JETPACK_7, 20642, 62817), (THOR, 86905, 125772)],
)
def test_memory_is_read(line: str, used: int, total: int) -> None:
    sample = parse_line(line)
    assert (sample.memory_used_mib, sample.memory_total_mib) == (used, total)


@pytest.mark.parametrize(
    ("line", "load", "clock"),
    [
        (XAVIER_JETPACK_4, 0.95, 1377),
        (ORIN_JETPACK_7, 0.12, 1300),
        (NX, 0.61, None),
        (THOR, None, None),
    ],
)
def test_load_and_clock_of_the_gpu_are_read_where_they_are_printed(
    line: str, load: float | None, clock: int | None
) -> None:
    sample = parse_line(line)
    assert (sample.gpu_load, sample.gpu_mhz) == (load, clock)


def test_a_clock_without_a_load_is_read() -> None:
    assert parse_line("RAM 4722/7844MB GR3D_FREQ @[1000,1000,1000] APE 150").gpu_mhz == 1000


def test_sensors_that_are_off_or_fixed_are_not_the_hottest() -> None:
    assert parse_line(NX).hottest_c == 49.2
    assert parse_line(XAVIER_JETPACK_4).hottest_c == 54.5


def test_rails_of_an_unknown_board_give_no_total() -> None:
    assert parse_line("RAM 1/2MB VDD_NEW 100mW/100mW").power_w is None


def test_a_line_of_something_else_is_refused() -> None:
    with pytest.raises(OptionError, match="tegrastats"):
        parse_line("total used free shared")
