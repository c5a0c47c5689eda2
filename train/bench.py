"""``python -m train.bench``: how many training crops per second one core decodes and blurs."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import torch

from runtime.command import run_command
from runtime.errors import OptionError
from runtime.files import to_json, write_whole
from runtime.version import __version__
from train.config import BLURS, DataConfig
from train.data import CropDataset
from train.layouts import Pictures, find_pictures


@dataclass(frozen=True)
class CropSpeed:
    """Crops per second of one core: ``first`` while pictures are decoded, ``later`` from memory."""

    blur: str
    crop_px: int
    crops: int
    pictures: int
    first_crops_per_s: float
    later_crops_per_s: float
    made_by: str = f"dvsr-edge {__version__}"


def measure(pictures: Pictures, config: DataConfig, crops: int, *, blur: str) -> CropSpeed:
    """Time ``crops`` crops twice on one core, the second time with the pictures in memory.

    ``blur`` is only noted in the result. Raises DataError and ImageError as CropDataset does.
    """
    dataset = CropDataset(pictures, config, crops, seed=0)
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        first, later = _rate(dataset), _rate(dataset)
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])
    return CropSpeed(blur, config.crop_px, crops, len(pictures), round(first, 1), round(later, 1))


def _rate(dataset: CropDataset) -> float:
    # Time on the processor, so that what else runs on the machine does not count.
    began = time.process_time()
    for index in range(len(dataset)):
        dataset[index]
    return len(dataset) / max(time.process_time() - began, 1e-9)


def build_parser() -> argparse.ArgumentParser:
    """All options; their defaults are those of the configuration's dataclasses."""
    default = DataConfig()
    parser = argparse.ArgumentParser(prog="python -m train.bench", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of pictures, as python -m train takes it")
    parser.add_argument("--blur", choices=BLURS, nargs="+", default=list(BLURS))
    parser.add_argument("--crop", type=int, default=default.crop_px, metavar="PX")
    parser.add_argument("--crops", type=int, default=300, help="how many to time")
    parser.add_argument("--json", type=Path, help="result file to write")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write the result file; raises DvsrError."""
    if arguments.crops < 1:
        raise OptionError(f"got --crops {arguments.crops}; wanted is at least 1")
    pictures = find_pictures(arguments.data)
    config = DataConfig(crop_px=arguments.crop)
    speeds = [
        measure(pictures, replace(config, blur=BLURS[name]), arguments.crops, blur=name)
        for name in arguments.blur
    ]
    for speed in speeds:
        print(
            f"{speed.blur}: {speed.later_crops_per_s:.0f} crops/s of {speed.crop_px} px on one "
            f"core, {speed.first_crops_per_s:.0f} while {speed.pictures} pictures are decoded"
        )
    if arguments.json:
        write_whole(arguments.json, to_json([asdict(speed) for speed in speeds]))


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m train.bench", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
