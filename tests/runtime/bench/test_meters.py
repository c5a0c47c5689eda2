from __future__ import annotations

import sys
import time

import pytest

from runtime.bench.meters import Block, TegraMeter, block_of, total_usage
from runtime.bench.nvml import reasons
from runtime.bench.tegrastats import parse_line

LINE = "RAM {ram}/7467MB GR3D_FREQ 61%@{mhz} VDD_IN {mw}mW/5000mW GPU@{hot}C"


def sample(mw: int, *, ram: int = 3000, mhz: int = 900, hot: float = 50.0) -> str:
    return LINE.format(ram=ram, mhz=mhz, mw=mw, hot=hot)


def test_energy_is_mean_power_over_the_blocks_duration() -> None:
    lines = [(t, parse_line(sample(mw))) for t, mw in ((0.0, 9000), (1.0, 4000), (2.0, 6000))]
    assert block_of(lines, 0.5, 2.5).energy_j == pytest.approx(5.0 * 2.0)


def test_a_block_shorter_than_the_interval_takes_the_next_line() -> None:
    lines = [(t, parse_line(sample(mw))) for t, mw in ((0.0, 9000), (1.0, 4000))]
    assert block_of(lines, 0.2, 0.4).energy_j == pytest.approx(4.0 * 0.2)


def test_a_block_that_nobody_watched_has_no_energy() -> None:
    assert block_of([], 0.0, 1.0).energy_j is None


def test_the_lowest_clock_and_the_highest_temperature_and_memory_count() -> None:
    lines = [
        (0.1, parse_line(sample(1000, ram=2000, mhz=1300, hot=60.0))),
        (0.2, parse_line(sample(1000, ram=4000, mhz=600, hot=70.0))),
    ]
    block = block_of(lines, 0.0, 1.0)
    assert (block.clock_mhz, block.temperature_c, block.device_memory_mib) == (600, 70.0, 4000.0)


def test_usage_is_energy_by_picture() -> None:
    blocks = [Block(1.0, 10.0, 900, 50.0, 100.0), Block(1.0, 30.0, 800, 60.0, 90.0, ("power cap",))]
    usage = total_usage("NVML", blocks, 8)
    assert usage is not None
    assert (usage.energy_j_per_picture, usage.power_w) == (5.0, 20.0)
    assert (usage.clock_mhz, usage.temperature_c, usage.throttled) == (800, 60.0, ("power cap",))


def test_energy_missing_in_one_block_is_not_guessed() -> None:
    usage = total_usage("NVML", [Block(1.0, 10.0, 1, 1, 1), Block(1.0, None, 1, 1, 1)], 2)
    assert usage is not None
    assert usage.energy_j_per_picture is None


def test_a_running_tegrastats_is_read_while_it_prints() -> None:
    script = f"import time\nwhile True:\n print({sample(5000)!r}, flush=True)\n time.sleep(0.02)"
    meter = TegraMeter([sys.executable, "-c", script])
    try:
        deadline = time.monotonic() + 30.0
        block = None
        while time.monotonic() < deadline and (block is None or block.energy_j is None):
            meter.begin()
            time.sleep(0.05)
            block = meter.end()
        assert block is not None
        assert block.energy_j == pytest.approx(5.0 * block.seconds)
    finally:
        meter.close()


def test_idling_is_no_throttling_and_heat_is() -> None:
    assert reasons(0x1 | 0x2) == ()
    assert reasons(0x4 | 0x40) == ("power cap", "hardware thermal slowdown")
