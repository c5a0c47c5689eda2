"""Make the pictures of the model card: what a bundle does to kinds of picture, good or bad.

    python examples/make_gallery.py              the default bundle
    python examples/make_gallery.py my-bundle

Writes docs/gallery-NAME.jpg and docs/failures-NAME.jpg, and their PSNR into
benchmarks/quality-NAME-pictures.json.
Left the picture that goes in, then what comes out of the default preset, then the sharp original.
Photographs are those that scikit-image carries: coffee (Rachel Michetti, CC0), astronaut (NASA,
public domain), chelsea (Stefan van der Walt, CC0), rocket (SpaceX, public domain), text
(Corner.png of Wikipedia, public domain).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import skimage.data
from numpy.typing import NDArray

# The repository need not be installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from runtime import Session
from runtime.files import to_json, write_whole
from train.config import BlurConfig
from train.data.blur import blur_sample, disc_kernel
from train.provenance import commit

Image = NDArray[np.uint8]

ROOT = Path(__file__).resolve().parents[1]
_SHAKE = replace(BlurConfig(), identity_fraction=0.0, longest_px=12.0)
_SIDE_PX = 240
_GAP_PX = 4
_JPEG_QUALITY = 88


@dataclass(frozen=True)
class Case:
    """One row of a gallery: what it is called, what goes in, and the sharp original."""

    name: str
    blurred: Image
    sharp: Image


class Seen(msgspec.Struct, frozen=True):
    """What became of a case; PSNR in dB, None where the pictures are equal."""

    name: str
    before: float | None
    after: float | None


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


def noise(image: Image, seed: int, sigma: float) -> Image:
    """``image`` of a dark room: normal noise of ``sigma`` grey levels."""
    normals = np.random.default_rng(seed).normal(0.0, sigma, image.shape)
    return np.clip(np.rint(image + normals), 0, 255).astype(np.uint8)


def galleries() -> Iterator[tuple[str, Sequence[Case]]]:
    """Names of pictures and the rows they show: first what it is for, then where it fails."""
    coffee = crop(skimage.data.coffee(), 90, 180)
    face = crop(skimage.data.astronaut(), 0, 110)
    cat = crop(skimage.data.chelsea(), 20, 100)
    rocket = crop(skimage.data.rocket(), 130, 200)
    # The text is 172 px high; larger letters show more.
    enlarged = cv2.resize(skimage.data.text(), None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
    text = crop(np.asarray(enlarged, np.uint8), 10, 60)
    strong = replace(_SHAKE, longest_px=30.0)
    lights = replace(_SHAKE, highlight_fraction=1.0, highlight_gain_max=8.0)
    yield (
        "gallery",
        [
            Case("camera shake", shake(coffee, 11), coffee),
            Case("camera shake, a cat", shake(cat, 4), cat),
            Case("camera shake, a face", shake(face, 3), face),
        ],
    )
    yield (
        "failures",
        [
            Case("saturated lights", shake(rocket, 5, lights), rocket),
            Case("strong defocus", defocus(cat, 6.0), cat),
            Case("already sharp", coffee, coffee),
            Case("noise", noise(shake(cat, 4), 1, 15.0), cat),
            Case("text", shake(text, 8), text),
            Case("strong shake, a face", shake(face, 2, strong), face),
        ],
    )


def psnr_db(image: Image, truth: Image) -> float | None:
    """PSNR in dB to hundredths; None for equal pictures."""
    error = np.mean(np.square(image.astype(float) - truth.astype(float)))
    return round(float(10.0 * np.log10(255.0**2 / error)), 2) if error else None


def draw(session: Session, cases: Sequence[Case]) -> tuple[Image, list[Seen]]:
    """The cases as rows of one picture, uint8 RGB, and what became of each."""
    rows, seen = [], []
    gap = np.full((_SIDE_PX, _GAP_PX, 3), 255, np.uint8)
    for case in cases:
        deblurred = session.deblur(case.blurred)
        after = psnr_db(deblurred, case.sharp)
        seen.append(Seen(case.name, psnr_db(case.blurred, case.sharp), after))
        rows.append(np.concatenate([case.blurred, gap, deblurred, gap, case.sharp], axis=1))
    between = np.full((_GAP_PX, rows[0].shape[1], 3), 255, np.uint8)
    stacked = [part for row in rows for part in (row, between)][:-1]
    return np.concatenate(stacked, axis=0), seen


def main(bundle: str | None = None) -> None:
    """Write the galleries and the result file, and print what each row gained."""
    found: dict[str, list[Seen]] = {}
    with Session(bundle, engine="onnx-cpu") as session:
        name = session.bundle.manifest.name
        for gallery, cases in galleries():
            picture, found[gallery] = draw(session, cases)
            options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            encoded = cv2.imencode(".jpg", picture[:, :, ::-1], options)[1]
            write_whole(ROOT / "docs" / f"{gallery}-{name}.jpg", encoded.tobytes())
    for seen in (one for some in found.values() for one in some):
        print(f"{seen.name}: {seen.before} dB in, {seen.after} dB out")
    result = {"bundle": name, "commit": commit(), "preset": "default", "pictures": found}
    write_whole(ROOT / "benchmarks" / f"quality-{name}-pictures.json", to_json(result))


if __name__ == "__main__":
    main(*sys.argv[1:2])
