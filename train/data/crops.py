"""Training pairs: random crops of the pictures on disk, blurred on the fly where blur is lacking.

Every sample is a function of (seed, index) and the list of files, so that a resumed run sees what
an unbroken one would have seen.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from runtime.errors import DataError, DvsrError, ImageError
from runtime.images import read_image
from train.config import DataConfig
from train.data.blur import average_frames, blur_sample, reach_px
from train.data.chance import happens
from train.data.layouts import FEWEST_FRAMES, Pictures, to_size_message

Image = NDArray[np.uint8]

CACHE_MIB = 4096


class CropDataset(Dataset[tuple[Tensor, Tensor]]):
    """Random crops (blurred, sharp), each uint8 (3, crop_px, crop_px).

    Decoded pictures stay in memory, up to ``cache_mib`` for each process that reads: a crop then
    costs a copy and a blur, not a JPEG. A picture that cannot be decoded is left out, and another
    one drawn in its place; :meth:`corrupt` names those met so far, in whichever process.
    """

    def __init__(
        self,
        pictures: Pictures,
        config: DataConfig,
        length: int,
        seed: int,
        *,
        cache_mib: int = CACHE_MIB,
    ) -> None:
        self._pictures = pictures
        self._config = config
        self._length = length
        self._seed = seed
        self._decoded: dict[Path, Image] = {}
        self._free_bytes = cache_mib * 2**20
        # One flag for each picture, in memory that worker processes share with their parent.
        flags = torch.zeros(len(pictures), dtype=torch.bool)
        self._corrupt: Tensor = flags.share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self._seed, index))
        blurred, sharp = self._draw(rng)
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        return _to_tensor(blurred, turns, flip), _to_tensor(sharp, turns, flip)

    def preload(self, threads: int) -> None:
        """Decode what the memory allowed takes, so that processes forked from now on share it.

        Does nothing where processes are not forked but get a copy of everything.
        """
        if multiprocessing.get_start_method() == "fork":
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(self._preload, range(len(self._pictures))))

    def _preload(self, which: int) -> None:
        if self._free_bytes <= 0 or self._pictures.windows is not None:
            return
        try:
            self._load(which)
        except _CorruptError:
            self._corrupt[which] = True
        except DvsrError:
            # Whoever draws this picture reports it.
            return

    def count_corrupt(self) -> int:
        """How many pictures were found unreadable so far."""
        return int(self._corrupt.sum())

    def corrupt(self) -> tuple[Path, ...]:
        """The pictures found unreadable so far; of a pair, the one that is."""
        found = torch.nonzero(self._corrupt).flatten().tolist()
        return tuple(self._unreadable(which) for which in found)

    def _draw(self, rng: np.random.Generator) -> tuple[Image, Image]:
        # A picture known to be corrupt is not read again; the draws are the same as if it were.
        for _ in range(100 * len(self._pictures)):
            which = int(rng.integers(len(self._pictures)))
            if self._corrupt[which]:
                continue
            try:
                if self._pictures.windows is not None:
                    return self._crop_frames(self._load_frames(which), rng)
                return self._crop_pair(self._load(which), rng)
            except _CorruptError:
                self._corrupt[which] = True
        raise DataError(
            f"none of {len(self._pictures)} pictures can be read, "
            f"the first is {self._pictures.sharp[0]}; give whole picture files"
        )

    def _load(self, which: int) -> tuple[Image | None, Image]:
        sharp_path = self._pictures.sharp[which]
        if self._pictures.blurred is None:
            return None, self._decode(sharp_path)
        blurred_path = self._pictures.blurred[which]
        blurred, sharp = self._decode(blurred_path), self._decode(sharp_path)
        if blurred.shape != sharp.shape:
            sizes = (blurred.shape[1::-1], sharp.shape[1::-1])
            raise DataError(to_size_message(blurred_path, sharp_path, sizes))
        return blurred, sharp

    def _load_frames(self, which: int) -> list[Image]:
        assert self._pictures.windows is not None
        paths = self._pictures.windows[which]
        frames = [self._decode(path) for path in paths]
        for path, frame in zip(paths, frames, strict=True):
            if frame.shape != frames[0].shape:
                sizes = (frames[0].shape[1::-1], frame.shape[1::-1])
                raise DataError(to_size_message(paths[0], path, sizes))
        return frames

    def _crop_pair(
        self, pair: tuple[Image | None, Image], rng: np.random.Generator
    ) -> tuple[Image, Image]:
        blurred, sharp = pair
        side = self._config.crop_px
        if blurred is not None:
            top, left = _place(sharp, side, rng)
            window = np.s_[top : top + side, left : left + side]
            return blurred[window], sharp[window]
        # Blur reaches beyond the crop: take a margin along and cut it off afterwards.
        height, width = sharp.shape[:2]
        margin = min(reach_px(self._config.blur, height, width), (min(height, width) - side) // 2)
        like_video = happens(rng, self._config.blur.video_fraction)
        zoom = self._draw_zoom(rng, like_video)
        whole = side + 2 * margin
        taken = round(whole / zoom)
        top, left = self._choose_place(sharp, taken, rng)
        outer = sharp[top : top + taken, left : left + taken]
        if taken < whole:
            outer = np.asarray(
                cv2.resize(outer, (whole, whole), interpolation=cv2.INTER_CUBIC), np.uint8
            )
        inner = np.s_[margin : margin + side, margin : margin + side]
        axis = (zoom * (0.5 * (width - 1) - left), zoom * (0.5 * (height - 1) - top))
        blurred = blur_sample(outer, rng, self._config.blur, axis_px=axis, like_video=like_video)
        return blurred[inner], outer[inner]

    def _choose_place(self, sharp: Image, side: int, rng: np.random.Generator) -> tuple[int, int]:
        """Of the places drawn, the one with most detail."""
        places = [_place(sharp, side, rng) for _ in range(self._config.places)]
        if len(places) == 1:
            return places[0]
        return max(places, key=lambda place: _detail(sharp, place, side))

    def _draw_zoom(self, rng: np.random.Generator, like_video: bool) -> float:
        """How much larger the crop becomes."""
        if not like_video and not happens(rng, self._config.zoom_fraction):
            return 1.0
        return float(rng.uniform(1.0, self._config.zoom_max))

    def _crop_frames(self, frames: list[Image], rng: np.random.Generator) -> tuple[Image, Image]:
        """A crop of the middle one of ``frames``, and of the mean of it and its neighbours."""
        most = len(frames) // 2
        reach = int(rng.integers(FEWEST_FRAMES // 2, most + 1))
        side = self._config.crop_px
        top, left = _place(frames[most], side, rng)
        window = np.s_[top : top + side, left : left + side]
        crops = [frame[window] for frame in frames[most - reach : most + reach + 1]]
        return average_frames(crops, rng, self._config.blur), crops[reach]

    def _decode(self, path: Path) -> Image:
        if path in self._decoded:
            return self._decoded[path]
        image = _read_whole(path)
        side = self._config.crop_px
        if min(image.shape[:2]) < side:
            raise ImageError(
                f"{path} is {image.shape[1]}x{image.shape[0]}; crops are {side} px: "
                "remove it or choose a smaller crop"
            )
        # Draws are uniform, so which pictures are kept does not matter: the first ones that fit.
        if image.nbytes <= self._free_bytes:
            self._decoded[path] = image
            self._free_bytes -= image.nbytes
        return image

    def _unreadable(self, which: int) -> Path:
        sharp = self._pictures.sharp[which]
        if self._pictures.blurred is None:
            return sharp
        blurred = self._pictures.blurred[which]
        try:
            _read_whole(blurred)
        except _CorruptError:
            return blurred
        return sharp


class _CorruptError(Exception):
    """A picture file that cannot be decoded, or only in part."""


def _read_whole(path: Path) -> Image:
    """Decode ``path``; raises _CorruptError."""
    try:
        return read_image(path)
    except ImageError as error:
        raise _CorruptError(path) from error


def _place(image: Image, side: int, rng: np.random.Generator) -> tuple[int, int]:
    height, width = image.shape[:2]
    return int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))


def _detail(image: Image, place: tuple[int, int], side: int) -> float:
    """Mean step between neighbouring pixels of a window of ``image``, in grey levels."""
    top, left = place
    green = image[top : top + side : 2, left : left + side, 1].astype(np.int16)
    return float(np.abs(np.diff(green)).mean())


def _to_tensor(image: Image, turns: int, flip: bool) -> Tensor:
    image = np.rot90(image, turns)
    if flip:
        image = image[:, ::-1]
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
