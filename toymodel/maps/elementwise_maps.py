"""Nonlinear maps that act on every entry by itself, with inverses exact to rounding."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from toymodel.base.errors import InputError
from toymodel.base.words import arg, args
from toymodel.maps.base import EVERYWHERE, TaskMap, vector_function

__all__ = ["cubic", "leaky", "sinh_arcsinh", "softsign"]

Floats = NDArray[np.float64]

# Bodies that numba compiles.


def _sinh_arcsinh(w: Floats, theta: Floats, out: Floats) -> None:
    skew, tail = theta[0], theta[1]
    for m in range(w.shape[0]):
        out[m] = math.sinh(tail * math.asinh(w[m]) + skew) + theta[2 + m]


def _sinh_arcsinh_inverse(z: Floats, theta: Floats, out: Floats) -> None:
    skew, tail = theta[0], theta[1]
    for m in range(z.shape[0]):
        out[m] = math.sinh((math.asinh(z[m] - theta[2 + m]) - skew) / tail)


def _leaky(w: Floats, theta: Floats, out: Floats) -> None:
    s = theta[0]
    for m in range(w.shape[0]):
        out[m] = (w[m] if w[m] > 0 else s * w[m]) + theta[1 + m]


def _leaky_inverse(z: Floats, theta: Floats, out: Floats) -> None:
    s = theta[0]
    for m in range(z.shape[0]):
        v = z[m] - theta[1 + m]
        out[m] = v if v > 0 else v / s


def _cubic(w: Floats, theta: Floats, out: Floats) -> None:
    c = theta[0]
    for m in range(w.shape[0]):
        out[m] = w[m] + c * w[m] * w[m] * w[m] + theta[1 + m]


def _cubic_inverse(z: Floats, theta: Floats, out: Floats) -> None:
    # Halley's method on u + u^3 = s >= 0 in u = sqrt(c) w, three steps of which reach rounding from 1.5 times
    # the root. The first guess is s or its cube root, the latter from a third of its exponent bits (off by 6%
    # at most). Many times faster than Cardano's formula by hyperbolic functions, because it vectorises.
    scale = math.sqrt(theta[0])
    back = 1.0 / scale
    for m in range(z.shape[0]):
        v = z[m] - theta[1 + m]
        s = abs(v) * scale
        bits = np.float64(s).view(np.int64)
        third = np.int64(np.float64(bits) * 0.3333333333333333 + 3071306043645493248.0)
        root = third.view(np.float64)
        u = s if s < root else root
        for _ in range(3):
            p = u * u + 1 / 3  # a third of the slope
            rest = u * (p + 2 / 3) - s
            u -= rest * p / (3.0 * p * p - u * rest)
        out[m] = math.copysign(u * back, v)


def _softsign(w: Floats, theta: Floats, out: Floats) -> None:
    bound = theta[0]
    for m in range(w.shape[0]):
        out[m] = w[m] / (1.0 + abs(w[m]) / bound)


def _softsign_inverse(z: Floats, theta: Floats, out: Floats) -> None:
    bound = theta[0]
    for m in range(z.shape[0]):
        room = 1.0 - abs(z[m]) / bound
        out[m] = z[m] / room if room > 0 else math.nan


def sinh_arcsinh(skew: float = 0.3, tail: float = 0.8) -> TaskMap:
    """f_i(w) = sinh(tail * arcsinh(w) + skew) + y_i: skewed, with lighter or heavier tails.

    Args:
        skew: 0 for a symmetric map.
        tail: positive; below 1 the map grows as |w|^tail.
    """
    if not (np.isfinite([skew, tail]).all() and tail > 0):
        raise InputError(
            args(skew=skew, tail=tail),
            expected="finite, tail above 0",
            fix=arg("tail", 0.8),
        )

    def constants(theta: Floats) -> Floats:
        # Bounded both ways only without a change of tails, where the slope tends to exp(+-skew).
        return np.full((len(theta), 2), np.exp(abs(skew)))

    return TaskMap(
        "sinh-arcsinh", vector_function(_sinh_arcsinh), vector_function(_sinh_arcsinh_inverse),
        lambda y: _before(y, skew, tail), lipschitz=constants if tail == 1 else None, phi_parameters=2,
    )  # fmt: skip


def leaky(slope: float = 0.5) -> TaskMap:
    """f_i(w) = w where w > 0, else slope * w; plus y_i.

    Args:
        slope: positive.
    """
    if not (np.isfinite(slope) and slope > 0):
        raise InputError(arg("slope", slope), expected="a positive number", fix=arg("slope", 0.5))

    def constants(theta: Floats) -> Floats:
        return np.tile([max(1.0, slope), max(1.0, 1 / slope)], (len(theta), 1))

    return TaskMap("leaky", vector_function(_leaky), vector_function(_leaky_inverse),
                   lambda y: _before(y, slope), lipschitz=constants, phi_parameters=1)  # fmt: skip


def cubic(strength: float = 0.3) -> TaskMap:
    """f_i(w) = w + strength * w^3 + y_i: monotone, and steep far out.

    Args:
        strength: positive.
    """
    if not (np.isfinite(strength) and strength > 0):
        raise InputError(arg("strength", strength), expected="a positive number", fix=arg("strength", 0.3))
    return TaskMap(
        "cubic", vector_function(_cubic), vector_function(_cubic_inverse), lambda y: _before(y, strength),
        lipschitz=lambda theta: np.tile([np.inf, 1.0], (len(theta), 1)), phi_parameters=1,
    )  # fmt: skip


def softsign(bound: float = 1.0) -> TaskMap:
    """f_i(w) = w / (1 + |w|/bound): a rational map that saturates, so only |z| < bound has an inverse.

    Targets play no part: with them every task would have a codomain of its own. ``compose(softsign(),
    reflection())`` brings them in.

    Args:
        bound: positive.
    """
    if not (np.isfinite(bound) and bound > 0):
        raise InputError(arg("bound", bound), expected="a positive number", fix=arg("bound", 1.0))
    return TaskMap(
        "softsign", vector_function(_softsign), vector_function(_softsign_inverse),
        lambda y: np.full((len(y), 1), bound), domain=EVERYWHERE, codomain=(-bound, bound),
        lipschitz=lambda theta: np.tile([1.0, np.inf], (len(theta), 1)), phi_parameters=1,
    )  # fmt: skip


def _before(y: Floats, *numbers: float) -> Floats:
    """Shared numbers in front of every task's targets."""
    return np.hstack([np.tile(numbers, (len(y), 1)), y])
