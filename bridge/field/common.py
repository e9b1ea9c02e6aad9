"""The sizes of the misfit that all documents share, before their first visit and after it.

They are what a fit is weighed by and are known from few cells, so they are estimated with theta free to
answer, and integrated out of theta's posterior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bridge.field.departures import HYPERPARAMETERS, Whitening
from bridge.field.likelihood import Curves
from bridge.search.descent import Point

__all__ = ["OWN", "CommonSizes", "Marginal", "Turned", "penalty"]

Floats = NDArray[np.float64]
OWN = len(HYPERPARAMETERS) - 2
"""Numbers of own departures come first, then the common misfit's sizes, that after the first visit first."""
# Points of the integral over a size, out to so many prior widths.
_POINTS, _REACH = 25, 3.0


def penalty(free: Floats, first: int) -> float:
    """Squared distance of numbers of the covariance from their priors' means, in their widths."""
    known = HYPERPARAMETERS[first : first + len(free)]
    return sum(((v - h.centre) / h.width) ** 2 for v, h in zip(free, known, strict=True))


class Turned:
    """Whitened cell means in coordinates in which they are independent whatever the common misfit's size.

    Args:
        whitening: with common misfits as large as own departures.

    Attributes:
        spread: variance that the common misfit adds in each coordinate, for the two groups of cells.
    """

    def __init__(self, whitening: Whitening) -> None:
        count = whitening.cells.count.ravel()
        self.spread: list[Floats] = []
        self._turn = []
        for seen, part in zip(whitening.observed, whitening.shared_parts, strict=True):
            root = np.sqrt(count[seen])
            values, vectors = np.linalg.eigh(root[:, None] * part * root)
            self.spread.append(np.maximum(values, 0.0))
            self._turn.append((seen, vectors.T * root))

    def means(self, grid: Floats) -> list[Floats]:
        """From ``(..., V + 1, lags)`` to ``(..., cells)`` of variance 1 + spread, group by group."""
        flat = grid.reshape(*grid.shape[:-2], -1)
        return [flat[..., seen] @ turn.T for seen, turn in self._turn]


class CommonSizes:
    """Restricted likelihood of the sizes, theta and the scale free to answer.

    With the part of the misfit that theta follows taken out, a size can't shrink because the fit went through
    its cells, nor the fit go through them because the size shrank.

    Args:
        means: what is left of cell means over the deviation, as `Turned.means`.
        columns: the same of what the scale and theta change, ``(1 + p, cells)`` each.
        spread: as in `Turned`.
        precision: of the prior of each, ``(1 + p,)``.
        ahead: the prior's mean less where they are.
    """

    def __init__(
        self,
        means: Sequence[Floats],
        columns: Sequence[Floats],
        spread: Sequence[Floats],
        precision: Floats,
        ahead: Floats,
    ) -> None:
        self._parts = list(zip(spread, means, columns, strict=True))
        self._precision, self._ahead = precision, ahead

    def cost(self, log_sizes: Floats) -> float:
        """Twice the negative log likelihood and priors of both sizes."""
        information = np.diag(self._precision)
        slope, total = self._precision * self._ahead, penalty(log_sizes, OWN)
        # Cells before the first visit come first, their size last.
        for (spread, means, columns), size in zip(self._parts, log_sizes[::-1], strict=True):
            variance = 1 + math.exp(2 * size) * spread
            weighted = columns / variance
            information = information + weighted @ columns.T
            slope = slope + weighted @ means
            total += float(np.log(variance).sum() + (means**2 / variance).sum())
        total -= float(slope @ np.linalg.solve(information, slope))
        return total + float(np.linalg.slogdet(information)[1])


class Marginal:
    """Twice the negative log posterior of theta with the sizes of the common misfit integrated out.

    Args:
        curves: the objective at the sizes that fit best, which also gives the common scale.
        deviations: of own departures, for each matrix.
    """

    def __init__(self, curves: Curves, deviations: Sequence[float]) -> None:
        self._curves, self._deviations = curves, deviations
        self._parts = []
        for whitening in curves.whitenings:
            even = replace(whitening.departures, common=1.0, common_first=1.0)
            alike = Whitening(whitening.cells, even, whitening.level)
            turned = Turned(alike)
            grids = []
            # The group before the first visit comes first, its prior last.
            for spread, prior in zip(turned.spread, HYPERPARAMETERS[: OWN - 1 : -1], strict=True):
                steps = np.linspace(-_REACH, _REACH, _POINTS)
                sizes = np.clip(prior.centre + prior.width * steps, prior.low, prior.high)
                variance = 1 + np.exp(2 * sizes)[:, None] * spread
                grids.append((variance, np.log(variance).sum(1), steps**2))
            self._parts.append((alike, turned, grids))

    def cost(self, point: Point) -> float:
        """The objective."""
        curves = self._curves
        total = curves.prior(point.theta)
        for n, (alike, turned, grids) in enumerate(self._parts):
            rows, deviation = curves.residual_rows(n, point.theta), self._deviations[n]
            count_as_one = curves.variance[n] / deviation**2
            for means, (variance, log, prior) in zip(
                turned.means(alike.white_means(rows) / deviation), grids, strict=True
            ):
                value = (log + (means**2 / variance).sum(1)) / count_as_one + prior
                least = float(value.min())
                total += least - 2 * math.log(float(np.exp(-0.5 * (value - least)).sum()))
        return total
