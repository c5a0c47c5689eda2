"""Run by test_cuda_driver.py where libcuda.so.1 is host_cuda.cpp: the loop on both drivers.

Argument: the library built of host_kernels.cpp. Ends with an AssertionError where they differ.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from host_driver import HostDriver

from runtime.cuda.driver import CudaDriver, DeviceMemoryError, Driver
from runtime.cuda.kernels import Kernels
from runtime.cuda.loop import DeviceLoop
from runtime.device_images import DeviceImages
from runtime.engines import Request
from runtime.samplers import SamplerConfig, compile_table


class ToyNetworks:
    """Networks made of the kernel ``scale``, which either driver runs and captures."""

    def __init__(self, driver: Driver) -> None:
        self.kernels = Kernels(driver)

    def check(self, graph: str, shape: tuple[int, ...]) -> None:
        pass

    def scratch_bytes(self, graph: str, shape: tuple[int, ...]) -> int:
        return 4096

    def open(self, graph: str, shape: tuple[int, ...]) -> ToyRunner:
        return ToyRunner(self.kernels, graph, int(np.prod(shape)))

    def close(self) -> None:
        pass


class ToyRunner:
    scratch_bytes = 4096
    capturable = True

    def __init__(self, kernels: Kernels, graph: str, count: int) -> None:
        self.kernels, self.graph, self.count = kernels, graph, count
        self.at: dict[str, int] = {}

    def use_scratch(self, address: int, size: int) -> None:
        pass

    def bind(self, addresses: Mapping[str, int]) -> None:
        self.at |= addresses

    def enqueue(self) -> None:
        if self.graph == "predictor":
            self.kernels.scale(self.at["y"], self.at["guess"], 0.5, self.count)
        else:
            self.kernels.scale(self.at["z"], self.at["z_next"], 0.75, self.count)
            self.kernels.scale(self.at["noise"], self.at["residual"], 1.0, self.count)

    def close(self) -> None:
        pass


def main() -> None:
    """Compare both drivers, call by call, and see that all memory comes back."""
    cuda, host = CudaDriver(), HostDriver(ctypes.CDLL(sys.argv[1]))
    free = cuda.free_bytes()
    loops = [
        DeviceLoop(driver, ToyNetworks(driver), "float32", graph="on") for driver in (cuda, host)
    ]
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), np.uint8)
    table = compile_table(SamplerConfig("ancestral", "log-snr", 3), "eps")
    for seed in (1, 1, 1, 2):
        request = Request(images + np.uint8(seed), table, 2, seed, True, True)
        found, expected = (loop.run(request) for loop in loops)
        for name in ("images", "std", "samples"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert found.stages_ms.keys() == expected.stages_ms.keys()
    assert found.stages_ms == {"graph": 0.5}
    y = np.random.default_rng(1).normal(size=(1, 3, 16, 24)).astype(np.float32)
    np.testing.assert_array_equal(loops[0].predict(y), y * np.float32(0.5))
    compare_on_the_device(loops, (cuda, host), images[:, :13, :21].copy())
    with pytest.raises(DeviceMemoryError, match="--memory"):
        cuda.allocate(2**50)
    with loops[0]._entered():
        loops[0]._cache.clear()
    assert cuda.free_bytes() == free
    loops[0].close()
    print("same")


def compare_on_the_device(
    loops: list[DeviceLoop], drivers: tuple[Driver, ...], images: np.ndarray
) -> None:
    """Pictures from the device and to it, of a size that must be padded."""
    table = compile_table(SamplerConfig("ancestral", "log-snr", 3), "eps")
    found = []
    for loop, driver in zip(loops, drivers, strict=True):
        source, target = (driver.allocate(images.nbytes) for _ in "12")
        assert driver.owns(target + images.nbytes - 1)
        assert not driver.owns(images.ctypes.data)
        ctypes.memmove(source, images.ctypes.data, images.nbytes)
        there = DeviceImages(source, *images.shape[:3], lambda ours: ours.wait_for(1), None, 8)
        for seed in (3, 3, 3):
            loop.run(Request(there, table, 1, seed, target=replace(there, address=target)))
        found.append(ctypes.string_at(target, images.nbytes))
        driver.release(source)
        driver.release(target)
    assert found[0] == found[1]
    assert found[0] != images.tobytes()


if __name__ == "__main__":
    main()
