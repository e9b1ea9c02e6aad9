"""Draws from the posterior of theta, by importance sampling from a heavy-tailed copy of its Gaussian form.

The points are a fixed low-discrepancy set, so that a fit is the same whenever it is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bridge.search.descent import Box, Point

__all__ = ["Draws", "Weighed", "importance"]

Floats = NDArray[np.float64]
# Tails of a t distribution of so many degrees hold those of posteriors that fall off like a power.
_DEGREES = 5
# The Gaussian form takes the covariance of departures as known, and is too narrow for that.
_WIDER = 1.3
# Fewer draws that count leave the ends of an interval to chance.
_FEWEST, _PLENTY, _ROUNDS = 40.0, 100.0, 3


class Weighed(Protocol):
    """What points are weighed by."""

    def cost(self, point: Point) -> float:
        """Twice the negative log posterior, up to a constant."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Weighted points of theta.

    Attributes:
        theta: shape ``(draws, p)``.
        weight: of each, sum 1.
    """

    theta: Floats
    weight: Floats

    @property
    def effective(self) -> float:
        """As many equally weighted draws say as much."""
        return float(1 / (self.weight**2).sum())

    @property
    def enough(self) -> bool:
        """Whether ends of intervals can be read from them."""
        return self.effective >= _FEWEST

    def quantile(self, p: int, level: float) -> float:
        """Of one component: where the weights so far reach the level."""
        at = np.argsort(self.theta[:, p])
        reached = np.cumsum(self.weight[at]) - 0.5 * self.weight[at]
        return float(np.interp(level, reached, self.theta[at, p]))

    def below(self, p: int, value: float) -> float:
        """Probability of a smaller value of one component."""
        return float(self.weight[self.theta[:, p] < value].sum())

    def some(self, count: int, rng: np.random.Generator) -> Floats:
        """Equally weighted draws, ``(count, p)``."""
        return np.asarray(self.theta[rng.choice(len(self.weight), count, p=self.weight)])


def importance(objective: Weighed, best: Floats, covariance: Floats, box: Box, count: int) -> Draws:
    """Weigh points around the best theta by the posterior.

    Where few of them count, the next points follow those that did.

    Args:
        objective: twice the negative log posterior.
        best: where it is least.
        covariance: of its Gaussian form there.
        box: range of theta; held components stay.
        count: points, a power of 2.
    """
    centre, spread = best, _WIDER**2 * covariance
    found = _weighed(objective, centre, spread, box, count)
    for _ in range(_ROUNDS):
        if found.effective >= _PLENTY:
            break
        # Weights to the power 1/2 reach farther, as long as few points have most of the weight.
        soft = np.sqrt(found.weight)
        soft /= soft.sum()
        centre = soft @ found.theta
        about = found.theta - centre
        spread = (about * soft[:, None]).T @ about + 1e-6 * covariance
        again = _weighed(objective, centre, spread, box, count)
        if again.effective > found.effective:
            found = again
    return found


def _weighed(objective: Weighed, centre: Floats, spread: Floats, box: Box, count: int) -> Draws:
    free = np.flatnonzero(box.high > box.low)
    size = len(free)
    uniform = stats.qmc.Sobol(size + 1, seed=0).random(count)
    root = np.linalg.cholesky(spread[np.ix_(free, free)])
    stretch = np.sqrt(stats.chi2.ppf(uniform[:, -1], _DEGREES) / _DEGREES)
    steps = stats.norm.ppf(uniform[:, :-1]) / stretch[:, None]
    theta = np.tile(centre, (count, 1))
    theta[:, free] += steps @ root.T
    log_proposal = -0.5 * (_DEGREES + size) * np.log1p((steps**2).sum(1) / _DEGREES)
    inside = ((theta >= box.low) & (theta <= box.high)).all(1)
    log_weight = np.full(count, -math.inf)
    for n in np.flatnonzero(inside):
        log_weight[n] = -0.5 * objective.cost(Point(theta[n], ())) - log_proposal[n]
    log_weight[~np.isfinite(log_weight)] = -math.inf
    weight = np.exp(log_weight - log_weight.max())
    return Draws(theta, weight / weight.sum())
