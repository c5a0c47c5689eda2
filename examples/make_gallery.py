"""Make docs/gallery.jpg: what the default bundle does to six kinds of picture, good or bad.

    python examples/make_gallery.py

Left the picture that goes in, then what comes out, then the sharp original. Photographs are those
that scikit-image carries: coffee (Rachel Michetti, CC0), astronaut (NASA, public domain), chelsea
(Stefan van der Walt, CC0), rocket (SpaceX, CC0), text (scikit-image authors). It prints the PSNR of
each picture going in and coming out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from runtime import Session
from runtime.images import Photograph, write_photograph
from train.blur import blur_sample, disc_kernel
from train.config import BlurConfig

Image = NDArray[np.uint8]

_SHAKE = replace(BlurConfig(), identity_fraction=0.0, longest_px=12.0)
_SIDE_PX = 240
_GAP_PX = 4


def crop(image: Image, top: int, left: int) -> Image:
    """A square of _SIDE_PX, uint8 RGB."""
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    return np.ascontiguousarray(image[top : top + _SIDE_PX, left : left + _SIDE_PX, :3])


def shake(image: Image, seed: int, config: BlurConfig = _SHAKE) -> Image:
    """``image`` taken by a shaking hand."""
    return blur_sample(image, np.random.default_rng(seed), config)


def defocus(image: Image, radius_px: float) -> Image:
    """``image`` out of focus."""
    return np.asarray(cv2.filter2D(image, -1, disc_kernel(radius_px)), np.uint8)


def rows() -> Iterator[tuple[str, Image, Image]]:
    """What it is, the picture going in, and the sharp original."""
    coffee = crop(skimage.data.coffee(), 90, 180)
    face = crop(skimage.data.astronaut(), 0, 110)
    cat = crop(skimage.data.chelsea(), 20, 100)
    rocket = crop(skimage.data.rocket(), 130, 200)
    # The text picture is 172 px high; larger letters show more.
    enlarged = cv2.resize(skimage.data.text(), None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
    text = crop(np.asarray(enlarged, np.uint8), 10, 60)
    lights = replace(_SHAKE, highlight_fraction=1.0, highlight_gain_max=8.0)
    yield "camera shake", shake(coffee, 11), coffee
    yield "camera shake, a face", shake(face, 3), face
    yield "already sharp", cat, cat
    yield "out of focus", defocus(cat, 4.0), cat
    yield "saturated lights", shake(rocket, 5, lights), rocket
    yield "text", shake(text, 8), text


def psnr_db(image: Image, truth: Image) -> float:
    """PSNR in dB; infinite for equal pictures."""
    error = np.mean(np.square(image.astype(float) - truth.astype(float)))
    return float(10.0 * np.log10(255.0**2 / error)) if error else float("inf")


def main() -> None:
    """Write the gallery, and print what each row gained."""
    lines = []
    with Session(engine="onnx-cpu") as session:
        for name, blurred, sharp in rows():
            deblurred = session.deblur(blurred)
            before, after = psnr_db(blurred, sharp), psnr_db(deblurred, sharp)
            print(f"{name}: {before:.2f} dB in, {after:.2f} dB out")
            gap = np.full((_SIDE_PX, _GAP_PX, 3), 255, np.uint8)
            lines.append(np.concatenate([blurred, gap, deblurred, gap, sharp], axis=1))
    gap = np.full((_GAP_PX, lines[0].shape[1], 3), 255, np.uint8)
    gallery = np.concatenate([part for line in lines for part in (line, gap)][:-1], axis=0)
    target = Path(__file__).parents[1] / "docs" / "gallery.jpg"
    write_photograph(target, Photograph(np.ascontiguousarray(gallery)))


if __name__ == "__main__":
    main()
