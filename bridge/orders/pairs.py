"""Likelihood that pairs of numbers belong together: sums over pairs, for every order that might pair them.

All numbers have mean 0 and variance 1. A pair (x, y) that belongs together correlates by rho; of n pairs, in
which every number comes once as y, the likelihood over that of independence is, with the sums of their
products and squares,

    log L(rho) = -n/2 log(1 - rho^2) - 1/2 [(yy - 2 rho xy + rho^2 xx) / (1 - rho^2) - yy]

linear in xy and xx, and averaged over rho.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CORRELATIONS", "FIRST", "TREND", "Sums", "displaced_sums", "log_mean", "repeated_sums", "restarted_sums",
    "without_trend",
]  # fmt: skip

Floats = NDArray[np.float64]

_ROUNDING = 1e-9
# Correlations of what is particular to a document between its visits, over which the evidence is averaged. A
# log of some hundred steps cannot tell weaker ones from none.
CORRELATIONS: Floats = np.linspace(0.1, 0.98, 45)
"""Averaged over by default."""
FIRST: Floats = np.linspace(0.0, 0.98, 50)
"""Of pairs with the first epoch: what an untrained network finds hard may be another thing, or the same."""
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


@dataclass(frozen=True)
class Sums:
    """Sums over the pairs of several alternatives, all of shape ``(n,)``.

    Attributes:
        pairs: their number.
        yy: of squares of the later numbers.
        xy: of products.
        xx: of squares of the earlier numbers.
    """

    pairs: Floats
    yy: Floats
    xy: Floats
    xx: Floats

    @classmethod
    def of(cls, earlier: Floats, later: Floats) -> Sums:
        """Of one alternative."""
        each = (earlier.size, later @ later, earlier @ later, earlier @ earlier)
        return cls(*(np.array([value], dtype=np.float64) for value in each))

    @classmethod
    def joined(cls, parts: Sequence[Sums]) -> Sums:
        """Alternatives one after the other."""
        return cls(*(np.concatenate(c) for c in zip(*(p.columns() for p in parts), strict=True)))

    def columns(self) -> tuple[Floats, Floats, Floats, Floats]:
        """All four."""
        return self.pairs, self.yy, self.xy, self.xx

    def average(self, correlations: Floats = CORRELATIONS) -> tuple[Floats, Floats]:
        """Logarithm of the likelihood over that of independence, averaged over rho, and rho's mean.

        Returns:
            Both of shape ``(n,)``.
        """
        rho = correlations
        left = 1 - rho**2
        pairs, yy, xy, xx = (column[:, None] for column in self.columns())
        logs = -0.5 * pairs * np.log(left) - 0.5 * yy * (1 / left - 1)
        logs = logs + xy * (rho / left) - xx * (0.5 * rho**2 / left)
        top = logs.max(axis=1, keepdims=True)
        weights = np.exp(logs - top)
        return top[:, 0] + np.log(weights.mean(1)), weights @ rho / weights.sum(1)


def log_mean(logs: Floats) -> float:
    """Logarithm of the mean of what these are logarithms of."""
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).mean()))


def repeated_sums(rest: Floats, count: int) -> tuple[Sums, Sums]:
    """Of every number and the one an epoch before: from the first epoch to the second, and later."""
    first, later = rest[: 2 * count], rest[count:]
    return Sums.of(first[:-count], first[count:]), Sums.of(later[:-count], later[count:])


def displaced_sums(
    rest: Floats, count: int, progress: Callable[[int], object] | None = None
) -> Iterator[tuple[int, Sums, Sums]]:
    """The same if the order moved at a step, for every step from the second epoch on.

    From `step` on the document at t is the one that was due at t + shift. In the epoch after the step it
    pairs with the last epoch before it, elsewhere with what came an epoch ago.

    Args:
        rest: whole epochs, shape ``(E*T,)``.
        count: T.
        progress: called with 1 after every step.

    Yields:
        The step, and by shift 1..T-1 the sums of pairs with the first epoch, and of the others.
    """
    earlier, later = rest[:-count], rest[count:]
    whole = np.stack([np.ones(later.size), later**2, earlier * later, earlier**2])
    sums = np.concatenate([np.zeros((4, 1)), np.cumsum(whole, axis=1)], axis=1)
    for step in range(count, rest.size - 2):
        after = rest[step : step + count]
        # Places in `whole` of the pairs that are made anew; those with the first epoch end at T.
        begin, end = step - count, step - count + after.size
        split = sums[:, count]
        kept = (
            sums[:, min(begin, count)],
            sums[:, max(begin, count)] - split + sums[:, -1] - sums[:, end],
        )
        before = rest[step - count : step]
        window = np.lib.stride_tricks.sliding_window_view
        shifted = window(np.concatenate([before, before]), after.size)[1:count]
        old = np.arange(step - count, step) < count  # of the first epoch
        first = window(np.concatenate([old, old]), after.size)[1:count]
        parts = []
        for chosen, rest_of in ((first, kept[0]), (~first, kept[1])):
            made = np.where(chosen, shifted, 0.0)
            anew = (chosen.sum(1), chosen @ after**2, made @ after, (made**2).sum(1))
            parts.append(Sums(*(new + old for new, old in zip(anew, rest_of, strict=True))))
        yield step, parts[0], parts[1]
        if progress is not None:
            progress(1)


def restarted_sums(rest: Floats, fewest: int) -> Sums:
    """If the sequence began anew at a step: by step, for every step that leaves `fewest` pairs."""
    steps = range(fewest, rest.size - fewest + 1)
    return Sums.joined([Sums.of(rest[: rest.size - s][:s], rest[s:][:s]) for s in steps])
