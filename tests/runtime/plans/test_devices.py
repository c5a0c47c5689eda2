from __future__ import annotations

import shutil
import subprocess

import pytest

from runtime.plans.devices import cuda_devices


def test_the_driver_answers_or_there_is_no_gpu() -> None:
    for device in cuda_devices():
        assert device.name
        assert device.sm >= 50
        assert device.memory_bytes > 2**28


def test_the_compute_capability_is_the_one_that_nvidia_smi_shows() -> None:
    if shutil.which("nvidia-smi") is None:
        pytest.skip("there is no nvidia-smi to compare with")
    query = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    shown = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
    assert [f"{device.sm // 10}.{device.sm % 10}" for device in cuda_devices()] == shown
