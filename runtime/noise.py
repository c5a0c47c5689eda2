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

import math
import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from runtime.errors import OptionError

SEED_LIMIT = 2**64
INDEX_LIMIT = 2**32

_CHANNELS = 3
_WORDS_PER_BLOCK = 4
_WORDS_AT_ONCE = 8192  # keeps the intermediate arrays inside the cache

# A double's upper twelve bits are its sign and exponent; 2^52 + n holds the integer n in its lower.
_FRACTION_BITS = np.uint64(52)
_FRACTION = np.uint64(0x000FFFFFFFFFFFFF)
_HALF, _TWO_TO_52 = np.float64(0.5).view(np.uint64), np.float64(2.0**52).view(np.uint64)
_SIGN = np.uint32(0x80000000)
_LOW, _HIGH = (0, 1) if sys.byteorder == "little" else (1, 0)

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
    rows_at_once = max(1, _WORDS_AT_ONCE // words_per_row)
    for top in range(0, height_px, rows_at_once):
        bottom = min(top + rows_at_once, height_px)
        words = np.stack([next(rows) for _ in range(top, bottom)])
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
    halves = words.view(np.uint32)
    high, low = halves[..., _HIGH::2], np.ascontiguousarray(halves[..., _LOW::2])
    radius = high.astype(np.float64)
    radius += 0.5
    radius *= 2.0**-32
    radius = _log(radius)
    radius *= -2.0
    np.sqrt(radius, out=radius)
    cosine, sine = _cos_sin(low & np.uint32(0x3FFFFFFF))
    pairs = np.empty((*words.shape, 2), np.uint32)
    _turn(
        np.multiply(radius, cosine, out=cosine).astype(np.float32).view(np.uint32),
        np.multiply(radius, sine, out=sine).astype(np.float32).view(np.uint32),
        low,
        pairs,
    )
    return pairs.view(np.float32).reshape(*words.shape[:-1], -1)


def _log(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithm of u in (0, 1): u = m 2^e, then 2 artanh of (m - c) / (m + c) around c."""
    bits = u.view(np.uint64)
    exponent = (bits >> _FRACTION_BITS | _TWO_TO_52).view(np.float64)
    exponent -= 2.0**52
    # Stored with 1023 added, for a mantissa in [1, 2): here it lies in [1/2, 1).
    exponent -= 1022.0 + 0.5
    exponent *= _LN2
    mantissa = (bits & _FRACTION | _HALF).view(np.float64)
    s = mantissa - _SQRT_HALF
    mantissa += _SQRT_HALF
    s /= mantissa
    series = _horner(_LOG_SERIES, np.multiply(s, s, out=mantissa))
    series *= s
    exponent += series
    return exponent


def _cos_sin(within: NDArray[np.uint32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosine and sine of (within + 1/2) / 2**32 turns, less an eighth; within is below 2**30."""
    angle = within.astype(np.float64)
    angle += 0.5
    angle *= 2.0**-30
    angle -= 0.5
    angle *= _QUARTER_TURN
    square = angle * angle
    sine = _horner(_SIN_SERIES, square)
    sine *= angle
    return _horner(_COS_SERIES, square), sine


def _turn(
    cosine: NDArray[np.uint32],
    sine: NDArray[np.uint32],
    low: NDArray[np.uint32],
    pairs: NDArray[np.uint32],
) -> None:
    """Turn by the quadrant, bits 31 and 30 of ``low``: (c, s), (-s, c), (-c, -s), (s, -c).

    On the bits of the floats: an exchange and a change of sign round nothing.
    """
    second_bit = low << np.uint32(1)
    odd = (second_bit.view(np.int32) >> np.int32(31)).view(np.uint32)
    exchanged = cosine ^ sine
    exchanged &= odd
    cosine ^= exchanged
    sine ^= exchanged
    np.bitwise_xor(cosine, (low ^ second_bit) & _SIGN, out=pairs[..., 0])
    np.bitwise_xor(sine, low & _SIGN, out=pairs[..., 1])


def _horner(series: tuple[float, ...], x: NDArray[np.float64]) -> NDArray[np.float64]:
    value = series[-1] * x
    for coefficient in reversed(series[1:-1]):
        value += coefficient
        value *= x
    value += series[0]
    return value
