"""The README's way from photographs to a measured bundle, as it stands there."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from train.config import PRESETS, ModelConfig

README = Path(__file__).resolve().parents[2] / "README.md"
# Smaller and shorter, but the same way.
QUICK = shlex.split(
    "--preset tiny --max-steps 2 --batch 2 --crop 32 --warmup 1 --longest-blur 8 --workers 0 "
    "--validation-crop 32 --accelerator cpu"
)


def commands() -> list[list[str]]:
    section = README.read_text(encoding="utf-8").split("## Train on your own photographs", 1)[1]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block[1].splitlines()]


@pytest.fixture
def home(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    photograph: NDArray[np.uint8],
    shallow: None,
) -> Path:
    """A working folder with PHOTOS and PAIRS, and a preset tiny of few channels and blocks."""
    sharp = photograph[:96, 180:276, ::-1]
    blurred = cv2.blur(sharp, (5, 1))
    for name, picture in (("PHOTOS", sharp), ("PAIRS/sharp", sharp), ("PAIRS/blur", blurred)):
        (tmp_path / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / name / "a.png"), picture)
    monkeypatch.setitem(PRESETS, "tiny", ModelConfig(4, 4, blocks=1, unshuffle=2))
    # Export measures in a process of its own, which must find the packages from there too.
    monkeypatch.setenv("PYTHONPATH", str(README.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_three_commands_lead_from_photographs_to_a_measured_bundle(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = commands()
    assert [line[:3] for line in lines] == [
        ["python", "-m", module] for module in ("train", "export.onnx", "train.evaluate")
    ]
    for line in lines:
        module = line[2] if line[2] != "train" else "train.__main__"
        options = [*line[3:], *QUICK] if line[2] == "train" else line[3:]
        assert import_module(module).main(options) == 0, capsys.readouterr().err
    assert (home / "my-bundle" / "manifest.json").exists()
    assert re.search(r"\| all\s+\| 1\b", capsys.readouterr().out)
