"""Bundles of the small network in other precisions; do not change them, copy them.

And what can go wrong around them: a disk that is full, a folder that may not be written.
"""

from __future__ import annotations

import ctypes
import json
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from export.engines.library import Library

_CAPABILITIES_VERSION = 0x20080522
_OVERRIDES_PERMISSIONS = 1 << 1  # CAP_DAC_OVERRIDE


@pytest.fixture
def bundle(small_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the small bundle, to be changed."""
    return shutil.copytree(small_bundle, tmp_path / "bundle")


@pytest.fixture
def with_engines(built_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the small bundle with engines, to be changed."""
    return shutil.copytree(built_bundle, tmp_path / "bundle")


@pytest.fixture(scope="session")
def library() -> Library:
    """tensorrt-rtx, which builds real engines without a GPU."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    from export.engines.library import open_library

    return open_library("tensorrt-rtx", ())


@pytest.fixture(scope="session")
def built_bundle(
    small_bundle: Path, tmp_path_factory: pytest.TempPathFactory, library: Library
) -> Path:
    """A bundle with both engines of 64x64 to 128x128 for sm86 in it."""
    from export.engines.builder import build_engines
    from export.engines.plan import BuildConfig
    from runtime.bundle import open_bundle
    from runtime.plans.shapes import Size, SizeRange

    target = shutil.copytree(small_bundle, tmp_path_factory.mktemp("built") / "bundle")
    sizes = SizeRange(Size(64, 64), Size(64, 64), Size(128, 128))
    config = BuildConfig((sizes,), targets=(86,))
    build_engines(open_bundle(target), library, config, say=lambda _: None)
    return target


@pytest.fixture
def full_disk() -> Callable[..., AbstractContextManager[None]]:
    """Makes the system refuse files above so many bytes, as a full disk would, while inside."""
    return _small_files_only


@contextmanager
def _small_files_only(limit_bytes: int = 100_000) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.fixture
def read_only() -> Callable[[Path], AbstractContextManager[None]]:
    """Makes the system refuse to write into a folder, to root too, while inside."""
    return _read_only


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    libc = ctypes.CDLL(None)
    # Effective, permitted and inheritable capabilities of this thread, twice 32 bits of each.
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    effective, mode = sets[0], folder.stat().st_mode
    sets[0] = effective & ~_OVERRIDES_PERMISSIONS
    folder.chmod(0o555)
    assert libc.capset(header, sets) == 0
    try:
        yield
    finally:
        sets[0] = effective
        assert libc.capset(header, sets) == 0
        folder.chmod(mode)


@pytest.fixture(scope="session")
def half_bundle(checkpoint: Path, export_once: Callable[..., Path]) -> Path:
    from export.config import ExportConfig

    target = export_once("half", checkpoint, ExportConfig(precision="float16"))
    parity = json.loads((target / "report.json").read_bytes())["parity"]["onnx-cpu"]
    assert min(sampler["psnr_db"] for sampler in parity["samplers"]) >= 45.0
    return target


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory, photograph: NDArray[np.uint8]) -> Path:
    """A folder of small pictures cut out of one photograph."""
    from runtime.images import Photograph, write_photograph

    folder = tmp_path_factory.mktemp("photographs")
    for index, (top, left) in enumerate([(0, 0), (0, 200), (100, 300), (200, 100), (300, 300)]):
        cut = photograph[top : top + 136, left : left + 136]
        write_photograph(folder / f"{index}.png", Photograph(np.ascontiguousarray(cut)))
    return folder


@pytest.fixture(scope="session")
def biased_checkpoint(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network with biases, as training leaves them: an optimiser drops those of zero."""
    import torch

    from train.checkpoint import load_tensors, save_tensors

    tensors, card = load_tensors(checkpoint)
    torch.manual_seed(1)
    for name, tensor in tensors.items():
        if name.endswith(".bias"):
            tensors[name] = torch.randn_like(tensor).mul(0.05)
    path = tmp_path_factory.mktemp("biased") / "model.safetensors"
    save_tensors(path, tensors, card)
    return path


@pytest.fixture(scope="session")
def int8_bundle(
    biased_checkpoint: Path, photographs: Path, export_once: Callable[..., Path]
) -> Path:
    """Quantised, and with a fused graph of two steps."""
    from export.config import ExportConfig

    config = ExportConfig(precision="int8", calibration=photographs, pictures=2, fused_steps=2)
    return export_once("int8", biased_checkpoint, config)


@pytest.fixture(scope="session")
def bfloat_bundle(checkpoint: Path, export_once: Callable[..., Path]) -> Path:
    from export.config import ExportConfig

    return export_once("bfloat", checkpoint, ExportConfig(precision="bfloat16"))
