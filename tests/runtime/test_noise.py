from __future__ import annotations

import numpy as np
import pytest

from runtime.errors import OptionError
from runtime.noise import check_seed, normals

# Written down once: whatever language draws this noise must reproduce these bits.
GOLDEN = [
    "-0x1.7225f40000000p-2",
    "-0x1.bab2fa0000000p-3",
    "0x1.98141c0000000p-2",
    "0x1.682a1e0000000p+0",
    "-0x1.a497980000000p-2",
    "-0x1.c48da80000000p-4",
    "0x1.a7e2700000000p-4",
    "0x1.00ee180000000p-6",
    "-0x1.6733640000000p-2",
    "0x1.0244400000000p-1",
    "0x1.a3cd9c0000000p+0",
    "-0x1.40e58e0000000p+1",
    "0x1.3479920000000p-2",
    "-0x1.f7c03c0000000p-4",
    "-0x1.fa229a0000000p-3",
    "-0x1.7ae4800000000p-1",
    "0x1.ba78100000000p-3",
    "0x1.5c0e740000000p-1",
]


def test_golden_bits_are_reproduced() -> None:
    field = normals(seed=7, sample=2, step=3, height_px=2, width_px=3)
    assert [value.hex() for value in field.ravel().tolist()] == GOLDEN


def test_noise_is_standard_normal() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = normals(0, 0, 0, 256, 256).ravel()
    # 196,608 draws of a right generator miss this bound once in ten thousand seeds; one is fixed.
    assert stats.kstest(values, "norm").pvalue > 1e-4


def test_noise_of_a_pixel_does_not_depend_on_the_picture_size() -> None:
    assert np.array_equal(normals(1, 0, 0, 40, 50)[:, :33, :17], normals(1, 0, 0, 33, 17))


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_seed_sample_and_step_each_give_independent_noise(other: tuple[int, int, int]) -> None:
    first, second = normals(0, 0, 0, 64, 64), normals(*other, 64, 64)
    # Independent fields of 12,288 values correlate by 0.009 in the standard deviation.
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_the_largest_seed_works() -> None:
    assert np.isfinite(normals(2**64 - 1, 2**32 - 1, 2**32 - 1, 1, 1)).all()


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "7", True])
def test_a_seed_out_of_range_is_refused(seed: object) -> None:
    with pytest.raises(OptionError, match="0 to 2"):
        check_seed(seed)  # type: ignore[arg-type]
