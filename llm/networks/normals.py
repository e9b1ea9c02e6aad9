"""Normal numbers from a counter: the same on every machine, and several of them in every instruction.

Philox 4x32-10 (Salmon, Moraes, Dror & Shaw 2011) turns a counter and a key into four random words, and the
transformation of Box and Muller (1958) each pair of words into two normal numbers. Both are written so that a
compiler makes vector instructions of them: no branches, logarithm and sine as their power series in float32
(written out far enough for its 24 bits), no library functions, whose results differ between machines.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numba import njit, types

from toymodel.base.compiled import compiled

__all__ = ["normals"]

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)  # multipliers and the key's steps, of the paper
_W0, _W1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_ROOT_HALF = np.int32(np.float32(math.sqrt(0.5)).view(np.int32))
_LOG_2, _ANGLE, _UNIT = np.float32(math.log(2)), np.float32(math.tau / 2**32), np.float32(2.0**-32)


@functools.cache
def normals() -> Callable[[np.ndarray, np.ndarray, int, float], None]:
    """The compiled function ``(out, key, block, scale)``, which other threads may run at the same time.

    It fills `out`, float32 of one dimension, with normal numbers times the scale; they depend on the key
    (uint32, shape (2,)), the number of the block and the length of `out`.
    """
    signature = types.void(types.float32[::1], types.uint32[::1], types.uint32, types.float32)
    function: Callable[..., None] = compiled(_normals, signature, nogil=True)
    return function


def _normals(out: np.ndarray, key: np.ndarray, block: int, scale: float) -> None:
    quarter = len(out) // 4
    for i in range(quarter):
        a, b, c, d = _philox(np.uint32(i), np.uint32(block), key[0], key[1])
        r, (x, y) = _radius(a, scale), _direction(b)
        out[i], out[i + quarter] = r * x, r * y
        r, (x, y) = _radius(c, scale), _direction(d)
        out[i + 2 * quarter], out[i + 3 * quarter] = r * x, r * y
    for i in range(4 * quarter, len(out)):  # the last three at most, a counter each
        a, b, _, _ = _philox(np.uint32(i), np.uint32(block), key[0], key[1])
        out[i] = _radius(a, scale) * _direction(b)[0]


@njit(inline="always")
def _philox(i, block, k0, k1):  # type: ignore[no-untyped-def]
    """Four random words of 32 bits from the counter (i, block, 0, 0)."""
    c0, c1, c2, c3 = i, block, np.uint32(0), np.uint32(0)
    for _ in range(10):
        p0, p1 = np.uint64(c0) * _M0, np.uint64(c2) * _M1
        c0, c2 = np.uint32(np.uint32(p1 >> _HALF) ^ c1 ^ k0), np.uint32(np.uint32(p0 >> _HALF) ^ c3 ^ k1)
        c1, c3 = np.uint32(p1 & _LOW), np.uint32(p0 & _LOW)
        k0, k1 = np.uint32(k0 + _W0), np.uint32(k1 + _W1)
    return c0, c1, c2, c3


@njit(inline="always")
def _radius(word, scale):  # type: ignore[no-untyped-def]
    """``scale * sqrt(-2 log u)`` of u uniform in (0, 1]."""
    u = np.float32((np.float32(word) + np.float32(0.5)) * _UNIT)
    # u = 2^e m with m between sqrt(1/2) and sqrt(2), read off its bits; log m = 2 artanh((m - 1) / (m + 1)).
    bits = u.view(np.int32)
    e = np.int32(np.int32(bits - _ROOT_HALF) >> np.int32(23))
    mantissa = np.int32(bits - np.int32(e << np.int32(23)))
    m = mantissa.view(np.float32)
    t = (m - np.float32(1)) / (m + np.float32(1))
    s = t * t
    series = np.float32(1 / 7) + s * np.float32(1 / 9)
    series = np.float32(1 / 3) + s * (np.float32(1 / 5) + s * series)
    log = np.float32(e) * _LOG_2 + np.float32(2) * t * (np.float32(1) + s * series)
    return np.sqrt(max(np.float32(-2) * log, np.float32(0))) * scale


@njit(inline="always")
def _direction(word):  # type: ignore[no-untyped-def]
    """Cosine and sine of the angle ``2 pi word / 2^32``."""
    quadrant = np.uint32(np.uint32(word + np.uint32(1 << 29)) >> np.uint32(30))
    rest = np.int32(np.uint32(word - np.uint32(quadrant << np.uint32(30))))
    x = np.float32(rest) * _ANGLE  # between -pi/4 and pi/4
    s = x * x
    sine = np.float32(1 / 120) + s * (np.float32(-1 / 5040) + s * np.float32(1 / 362880))
    sine = x * (np.float32(1) + s * (np.float32(-1 / 6) + s * sine))
    cosine = np.float32(1 / 40320) + s * np.float32(-1 / 3628800)
    cosine = np.float32(-1 / 2) + s * (np.float32(1 / 24) + s * (np.float32(-1 / 720) + s * cosine))
    cosine = np.float32(1) + s * cosine
    odd = (quadrant & np.uint32(1)) != 0
    a, b = (sine, cosine) if odd else (cosine, sine)
    a = -a if quadrant == np.uint32(1) or quadrant == np.uint32(2) else a  # noqa: PLR1714
    b = -b if quadrant >= np.uint32(2) else b
    return a, b
