"""The noise rule has one meaning in both languages, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from native_library import Library

from runtime.noise import normals


@pytest.mark.parametrize(
    ("seed", "sample", "step"),
    [(0, 0, 0), (1, 0, 1), (2**64 - 1, 2**32 - 1, 2**32 - 1), (12345, 7, 500)],
)
@pytest.mark.parametrize(("height_px", "width_px"), [(1, 1), (17, 31), (40, 513)])
def test_noise_has_the_same_bits(
    library: Library, seed: int, sample: int, step: int, height_px: int, width_px: int
) -> None:
    expected = normals(seed, sample, step, height_px, width_px)
    got = library.normals(seed, sample, step, height_px, width_px)
    np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))


def test_a_million_normals_have_the_same_bits(library: Library) -> None:
    # Enough for rare arguments of the logarithm: the smallest u is near one in a million.
    expected = normals(9, 8, 7, 512, 700)
    got = library.normals(9, 8, 7, 512, 700)
    np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))
