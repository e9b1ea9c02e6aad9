"""What documents have in common: mean losses by visit and lag, one curve an epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toymodel import LossMatrix
from toymodel.measures.lag import lags

__all__ = ["LagCurves", "lag_curves", "means_by_visit_and_lag", "r_squared_of_curves"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LagCurves:
    """Mean loss after the n-th visit at every lag since it, over the documents that reach it.

    Attributes:
        mean: shape ``(most visits, T)``; row n - 1 is after the n-th visit, column d is d episodes after it;
            NaN where no document is.
        count: losses averaged, of the same shape.
    """

    mean: Floats
    count: Integers


def means_by_visit_and_lag(order: Integers, values: Floats) -> tuple[Floats, Integers]:
    """Mean of any values of a loss matrix's shape by visits so far and episodes since the last one.

    Returns:
        Mean and count, shape ``(most visits + 1, longest lag + 1)``; NaN where there is none.
    """
    visits, since = lags(order)
    shape = (int(visits.max()) + 1, int(since.max()) + 1)
    cell = (visits * shape[1] + since).ravel()
    count = np.bincount(cell, minlength=shape[0] * shape[1])
    total = np.bincount(cell, values.ravel(), minlength=len(count))
    mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return mean.reshape(shape), count.reshape(shape)


def lag_curves(losses: LossMatrix) -> LagCurves:
    """The curves of a run; lags of T and more, which only orders that do not repeat have, are left out."""
    mean, count = means_by_visit_and_lag(losses.order, losses.values)
    short = max(losses.tasks - mean.shape[1], 0)
    mean = np.pad(mean, ((0, 0), (0, short)), constant_values=np.nan)
    count = np.pad(count, ((0, 0), (0, short)))
    return LagCurves(mean[1:, : losses.tasks], count[1:, : losses.tasks])


def r_squared_of_curves(truth: LagCurves, guess: LagCurves) -> float:
    """R^2 of curves of one order, every point weighed by how many losses it is the mean of."""
    seen = truth.count > 0
    weight, a, b = truth.count[seen], truth.mean[seen], guess.mean[seen]
    unit = float(np.abs(a).max()) or 1.0  # squares of any unit are numbers
    centre = np.average(a / unit, weights=weight)
    left, whole = (weight * (a / unit - b / unit) ** 2).sum(), (weight * (a / unit - centre) ** 2).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(1 - left / whole)
