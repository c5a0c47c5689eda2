"""Standard normal noise as a function of (seed, sample, step, pixel, channel) and nothing else.

Bits come from the counter-based generator Philox4x64-10 (Salmon et al., "Parallel Random Numbers:
As Easy as 1, 2, 3", 2011), normals from the transform of Box and Muller (1958). Logarithm, sine
and cosine are polynomials in float64 made of additions, multiplications, one division and one
square root, all of which IEEE 754 defines to the bit: the same seed gives the same bits on every
machine and in every language, which no mathematics library promises.

The rule, for whoever writes it again:

* key = (seed, sample * 2**32 + step); counter of block b in picture row i = (b + 1, i, 0, 0);
* a block gives four 64-bit words; word k of a row (k = 0, 1, ...) gives the normals 2k and 2k + 1;
* normal 3j + c of row i belongs to pixel (i, j), channel c.

So noise does not depend on the size of the picture, and a tile's noise is cut from the picture's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from runtime.errors import OptionError

SEED_LIMIT = 2**64
INDEX_LIMIT = 2**32

_CHANNELS = 3
_WORDS_PER_BLOCK = 4
_ROWS_AT_ONCE = 32  # keeps the intermediate arrays of a wide picture inside the cache

_SQRT_HALF = math.sqrt(0.5)
_LN2 = math.log(2.0)
_QUARTER_TURN = math.pi / 2.0
# 2 artanh(s) = 2 (s + s^3/3 + ...): |s| < 0.172 leaves an error below 1e-12.
_LOG_SERIES = tuple(2.0 / (2 * k + 1) for k in range(7))
# Taylor to x^13 and x^12 on [-pi/4, pi/4]: errors below 1e-12.
_SIN_SERIES = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(7))
_COS_SERIES = tuple((-1.0) ** k / math.factorial(2 * k) for k in range(7))


def check_seed(seed: int) -> int:
    """Return ``seed`` if it lies in [0, 2**64), else raise OptionError."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise OptionError(f"got seed {seed!r}; wanted is an integer from 0 to 2**64 - 1")
    if not 0 <= seed < SEED_LIMIT:
        raise OptionError(f"got seed {seed}; wanted is an integer from 0 to 2**64 - 1")
    return int(seed)


def normals(
    seed: int,
    sample: int,
    step: int,
    height_px: int,
    width_px: int,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Noise field float32 (3, height_px, width_px) of one sample and one step, in ``out`` if given.

    ``seed`` lies in [0, 2**64), ``sample`` and ``step`` in [0, 2**32).
    """
    field = np.empty((_CHANNELS, height_px, width_px), np.float32) if out is None else out
    words_per_row = -(-_CHANNELS * width_px // 2)
    rows = _row_words(seed, sample, step, words_per_row)
    for top in range(0, height_px, _ROWS_AT_ONCE):
        bottom = min(top + _ROWS_AT_ONCE, height_px)
        words = np.stack(list(itertools.islice(rows, bottom - top)))
        values = _box_muller(words)[:, : _CHANNELS * width_px]
        field[:, top:bottom] = values.reshape(-1, width_px, _CHANNELS).transpose(2, 0, 1)
    return field


def _row_words(seed: int, sample: int, step: int, count: int) -> Iterator[NDArray[np.uint64]]:
    """The first ``count`` words of row 0, of row 1, and so on."""
    key = np.array([seed, sample << 32 | step], dtype=np.uint64)
    # numpy counts up before it draws: the first block has counter 1.
    generator = np.random.Philox(key=key, counter=np.zeros(4, np.uint64))
    blocks = -(-count // _WORDS_PER_BLOCK)
    while True:
        yield generator.random_raw(_WORDS_PER_BLOCK * blocks)[:count]
        generator.advance(2**64 - blocks)  # the row is the counter's second word


def _box_muller(words: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Normals (..., 2n) from random words (..., n): the high half radius, the low half angle."""
    high = (words >> np.uint64(32)).astype(np.float64)
    low = words & np.uint64(0xFFFFFFFF)
    radius = np.sqrt(-2.0 * _log((high + 0.5) * 2.0**-32))
    cosine, sine = _cos_sin(low)
    pairs = np.stack([radius * cosine, radius * sine], axis=-1).astype(np.float32)
    return pairs.reshape(*words.shape[:-1], -1)


def _log(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithm: u = m 2^e exactly, then 2 artanh of (m - c) / (m + c) around c."""
    mantissa, exponent = np.frexp(u)
    s = (mantissa - _SQRT_HALF) / (mantissa + _SQRT_HALF)
    return (exponent - 0.5) * _LN2 + s * _horner(_LOG_SERIES, s * s)


def _cos_sin(turn: NDArray[np.uint64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosine and sine of an angle of (turn + 1/2) / 2**32 turns, less an eighth."""
    quadrant = turn >> np.uint64(30)
    within = (turn & np.uint64(0x3FFFFFFF)).astype(np.float64)
    angle = ((within + 0.5) * 2.0**-30 - 0.5) * _QUARTER_TURN
    square = angle * angle
    cosine = _horner(_COS_SERIES, square)
    sine = angle * _horner(_SIN_SERIES, square)
    odd = (quadrant & np.uint64(1)).astype(bool)
    first = np.where(odd, sine, cosine)
    second = np.where(odd, cosine, sine)
    # (c, s), (-s, c), (-c, -s), (s, -c): a turn by the quadrant.
    first_negative = (quadrant == 1) | (quadrant == 2)
    second_negative = quadrant >= 2
    return np.where(first_negative, -first, first), np.where(second_negative, -second, second)


def _horner(series: tuple[float, ...], x: NDArray[np.float64]) -> NDArray[np.float64]:
    value = series[-1] * x
    for coefficient in reversed(series[1:-1]):
        value += coefficient
        value *= x
    value += series[0]
    return value
