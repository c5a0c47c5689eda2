"""Make examples/blurred.jpg: a photograph in the public domain (CC0), blurred by a shaking camera.

    python examples/make_blurred.py

The photograph is ``skimage.data.coffee()`` (Rachel Michetti, CC0); the blur is the training's own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import skimage.data

from runtime.images import Photograph, write_photograph
from train.config import BlurConfig
from train.data.blur import blur_sample


def main() -> None:
    """Write the picture beside this script."""
    config = replace(BlurConfig(), identity_fraction=0.0, longest_px=14.0)
    blurred = blur_sample(skimage.data.coffee(), np.random.default_rng(11), config)
    write_photograph(Path(__file__).with_name("blurred.jpg"), Photograph(blurred))


if __name__ == "__main__":
    main()
