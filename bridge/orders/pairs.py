"""Likelihood that pairs of numbers belong together: sums over pairs, for every order that might pair them.

All numbers have mean 0 and variance 1. A pair (x, y) that belongs together correlates by rho; of n pairs, in
which every number comes once as y, the likelihood over that of independence is, with the sums of their
products and squares,

    log L(rho) = -n/2 log(1 - rho^2) - 1/2 [(yy - 2 rho xy + rho^2 xx) / (1 - rho^2) - yy]

linear in xy and xx, and averaged over rho.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["average", "displaced_sums", "log_mean", "repeated_sums", "restarted_sums", "without_trend"]

Floats = NDArray[np.float64]

_ROUNDING = 1e-9
# Correlations of what is particular to a document between its visits, over which the evidence is averaged. A
# log of some hundred steps cannot tell weaker ones from none.
_CORRELATIONS = np.linspace(0.1, 0.98, 45)
TREND = 2
"""Degree of the trend that is taken out."""


def without_trend(values: Floats) -> Floats:
    """Each row less its parabola, at unit variance; 0 where nothing but rounding is left."""
    place = np.linspace(-1, 1, values.shape[1])
    basis, _ = np.linalg.qr(np.vander(place, TREND + 1))
    rest = values - values @ basis @ basis.T
    deviation = rest.std(1, keepdims=True)
    whole = deviation > _ROUNDING * (1 + np.abs(values).max(1, keepdims=True))
    result: Floats = np.where(whole, rest / np.where(whole, deviation, 1), 0.0)
    return result


def average(pairs: Floats | float, yy: Floats | float, xy: Floats, xx: Floats) -> tuple[Floats, Floats]:
    """Logarithm of the likelihood over that of independence, averaged over rho, and rho's mean.

    Args:
        pairs: their number, broadcast against the others.
        yy: sum of the squares of the later numbers, likewise.
        xy: sums of products, shape ``(n,)``.
        xx: sums of squares of the earlier numbers, shape ``(n,)``.

    Returns:
        Both of shape ``(n,)``.
    """
    rho = _CORRELATIONS
    left = 1 - rho**2
    count, later = (np.broadcast_to(v, xy.shape)[:, None] for v in (pairs, yy))
    logs = -0.5 * count * np.log(left) - 0.5 * later * (1 / left - 1)
    logs = logs + xy[:, None] * (rho / left) - xx[:, None] * (0.5 * rho**2 / left)
    top = logs.max(axis=1, keepdims=True)
    weights = np.exp(logs - top)
    return top[:, 0] + np.log(weights.mean(1)), weights @ rho / weights.sum(1)


def log_mean(logs: Floats) -> float:
    """Logarithm of the mean of what these are logarithms of."""
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).mean()))


def repeated_sums(rest: Floats, count: int) -> tuple[float, float]:
    """Xy and xx of every number and the one an epoch before."""
    earlier = rest[:-count]
    return float(earlier @ rest[count:]), float(earlier @ earlier)


def displaced_sums(
    rest: Floats, count: int, progress: Callable[[int], object] | None = None
) -> Iterator[tuple[int, Floats, Floats]]:
    """The same if the order moved at a step, for every step from the second epoch on.

    From `step` on the document at t is the one that was due at t + shift. In the epoch after the step it
    pairs with the last epoch before it, elsewhere with what came an epoch ago.

    Args:
        rest: whole epochs, shape ``(E*T,)``.
        count: T.
        progress: called with 1 after every step.

    Yields:
        The step, and xy and xx by shift 1..T-1, each of shape ``(T-1,)``.
    """
    steps = rest.size
    earlier, later = rest[:-count], rest[count:]
    products = np.concatenate([[0.0], np.cumsum(earlier * later)])
    squares = np.concatenate([[0.0], np.cumsum(earlier**2)])
    for step in range(count, steps - 2):
        around = np.concatenate([rest[step - count : step]] * 2)
        after = rest[step : step + count]
        shifted = np.lib.stride_tricks.sliding_window_view(around, after.size)[1:count]
        # Of the pairs an epoch apart those drop out whose later number lies in the epoch after the step.
        first, last = step - count, step - count + after.size
        xy = shifted @ after + (products[-1] - products[last] + products[first])
        xx = (shifted**2).sum(1) + (squares[-1] - squares[last] + squares[first])
        yield step, xy, xx
        if progress is not None:
            progress(1)


def restarted_sums(rest: Floats, fewest: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Sums if the sequence began anew at a step, for every step that leaves `fewest` pairs.

    Returns:
        Number of pairs, yy, xy and xx by step, from `fewest` on, each of shape ``(n - 2 fewest + 1,)``.
    """
    steps = np.arange(fewest, rest.size - fewest + 1)
    both = [(rest[: rest.size - step][:step], rest[step:][:step]) for step in steps]
    pairs = np.array([len(x) for x, _ in both], dtype=np.float64)
    yy, xy, xx = (np.array(v) for v in zip(*((y @ y, x @ y, x @ x) for x, y in both), strict=True))
    return pairs, yy, xy, xx
