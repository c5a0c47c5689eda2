"""Pictures on disk as training pairs: sharp-only folders or blur/ beside sharp/.

Every sample is a function of (seed, index) and the list of files, so that a resumed run sees what
an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from runtime.errors import DataError, ImageError
from runtime.images import SUFFIXES, read_image
from train.blur import blur_sample
from train.config import DataConfig

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """Files to train on. ``blurred`` is None where blur is to be made from ``sharp``."""

    sharp: tuple[Path, ...]
    blurred: tuple[Path, ...] | None = None

    def __len__(self) -> int:
        return len(self.sharp)


def find_pictures(folder: Path, only: Iterable[str] | None = None) -> Pictures:
    """Pictures of ``folder``: pairs if it holds blur/ and sharp/, else sharp pictures.

    ``only`` keeps the named files. Raises DataError for a missing or empty folder, and for a
    picture without its twin.
    """
    if not folder.is_dir():
        raise DataError(
            f"no folder {folder}; give a folder of sharp pictures, or of blur/ and sharp/"
        )
    if (folder / "sharp").is_dir() and (folder / "blur").is_dir():
        return _find_pairs(folder)
    sharp = _list_images(folder)
    if only is not None:
        wanted = set(only)
        missing = sorted(wanted - {path.name for path in sharp})
        if missing:
            raise DataError(f"{folder} lacks {len(missing)} listed pictures, first {missing[0]}")
        sharp = tuple(path for path in sharp if path.name in wanted)
    return Pictures(sharp)


def _find_pairs(folder: Path) -> Pictures:
    sharp = {path.stem: path for path in _list_images(folder / "sharp")}
    blurred = {path.stem: path for path in _list_images(folder / "blur")}
    alone = sorted(set(sharp) ^ set(blurred))
    if alone:
        raise DataError(
            f"{folder}: {alone[0]} stands in only one of blur/ and sharp/; "
            "every picture needs its twin of the same name"
        )
    names = sorted(sharp)
    return Pictures(tuple(sharp[n] for n in names), tuple(blurred[n] for n in names))


def _list_images(folder: Path) -> tuple[Path, ...]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{folder} holds no pictures; wanted are {', '.join(SUFFIXES)}")
    return tuple(found)


class CropDataset(Dataset[tuple[Tensor, Tensor]]):
    """Random crops (blurred, sharp), each uint8 (3, crop_px, crop_px).

    Decoded pictures stay in memory: a crop then costs a copy and a blur, not a JPEG.
    """

    def __init__(self, pictures: Pictures, config: DataConfig, length: int, seed: int) -> None:
        self._pictures = pictures
        self._config = config
        self._length = length
        self._seed = seed
        self._decoded: dict[Path, Image] = {}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self._seed, index))
        which = int(rng.integers(len(self._pictures)))
        blurred, sharp = self._crop_pair(which, rng)
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        return _to_tensor(blurred, turns, flip), _to_tensor(sharp, turns, flip)

    def _crop_pair(self, which: int, rng: np.random.Generator) -> tuple[Image, Image]:
        sharp = self._decode(self._pictures.sharp[which])
        side = self._config.crop_px
        if self._pictures.blurred is not None:
            blurred = self._decode(self._pictures.blurred[which])
            if blurred.shape != sharp.shape:
                raise DataError(
                    f"{self._pictures.blurred[which]} is {blurred.shape[1]}x{blurred.shape[0]} but "
                    f"{self._pictures.sharp[which]} is {sharp.shape[1]}x{sharp.shape[0]}; "
                    "a pair must have one size"
                )
            top, left = _place(sharp, side, rng)
            window = np.s_[top : top + side, left : left + side]
            return blurred[window], sharp[window]
        # Blur reaches beyond the crop: take a margin along and cut it off afterwards.
        margin = int(np.ceil(self._config.blur.longest_px))
        margin = min(margin, (min(sharp.shape[:2]) - side) // 2)
        top, left = _place(sharp, side + 2 * margin, rng)
        outer = sharp[top : top + side + 2 * margin, left : left + side + 2 * margin]
        inner = np.s_[margin : margin + side, margin : margin + side]
        return blur_sample(outer, rng, self._config.blur)[inner], outer[inner]

    def _decode(self, path: Path) -> Image:
        if path not in self._decoded:
            image = read_image(path)
            side = self._config.crop_px
            if min(image.shape[:2]) < side:
                raise ImageError(
                    f"{path} is {image.shape[1]}x{image.shape[0]}; crops are {side} px: "
                    "remove it or choose a smaller crop"
                )
            self._decoded[path] = image
        return self._decoded[path]


def _place(image: Image, side: int, rng: np.random.Generator) -> tuple[int, int]:
    height, width = image.shape[:2]
    return int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))


def _to_tensor(image: Image, turns: int, flip: bool) -> Tensor:
    image = np.rot90(image, turns)
    if flip:
        image = image[:, ::-1]
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
