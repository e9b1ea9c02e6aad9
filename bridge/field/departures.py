"""What losses are beyond the mechanism: departures that are smooth in lag and come again from epoch to epoch.

Document j's loss at its n-th visit and lag l (episodes since that visit; n = 0 counts from the start) is

    L = k_j h(n, l) + deviation * (d(n, l) + level(n, l)^power e_j(n, l))

with h the mechanism's shape, d what it misses in *all* documents and e_j what is document j's own. Both are
Gaussian fields of mean 0; ``level`` is the mean loss of a cell (n, l) over that before training. The own
field has covariance F x Lambda: F = carried^|n - m| between visits (departures come again), Lambda =
(1 - rough) exp(-|l - l'|/length) + rough [l = l'] between lags (they are smooth). The common field has
F x 1 with its own size: a misfit free to be smooth in lag could stand in for any mechanism. Losses before
the first visit are independent of later ones and have sizes of their own. Where the order does not repeat,
no cell comes again and carried is 0.

Lower Cholesky factors of F and Lambda are causal, so a document's last visit may end early: with
W = chol(F)^-1 x chol(Lambda)^-1 the own field becomes white, and a cell's mean over the documents that have
it and their deviations from it are independent. That makes the likelihood exact at O(rows * T^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.special import expit

from toymodel.measures.lag import lags

__all__ = ["HYPERPARAMETERS", "Cells", "Departures", "Hyperparameter", "Whitening"]

Floats = NDArray[np.float64]
# The level below which departures no longer shrink: part of the loss before training.
_LEAST_LEVEL = 1e-3


@dataclass(frozen=True)
class Hyperparameter:
    """One number of the covariance on its unbounded scale, with its weak normal prior and its range."""

    name: str
    centre: float
    width: float
    low: float
    high: float


HYPERPARAMETERS = (
    Hyperparameter("carried", 0.5, 1.0, -4.0, 4.0),
    Hyperparameter("length", math.log(6.0), 0.7, -1.0, 6.0),
    Hyperparameter("rough", -1.5, 1.0, -8.0, 4.0),
    Hyperparameter("power", 0.5, 0.3, -0.5, 1.5),
    Hyperparameter("first", 0.3, 0.7, -3.0, 3.0),
    Hyperparameter("common", -0.5, 1.0, -5.0, 2.5),
    Hyperparameter("common_first", 0.0, 1.0, -5.0, 3.0),
)
"""Logits of `carried` and `rough`, logs of the others but `power`; prior and range."""


@dataclass(frozen=True)
class Departures:
    """Numbers of the covariance.

    Attributes:
        carried: correlation of a departure with itself one visit later.
        length: episodes over which an own departure's correlation falls by e.
        rough: part of its variance that is independent from lag to lag.
        power: departures grow with the level of the losses to this power.
        first: size of own departures before the first visit over that after it.
        common: size of the misfit that all documents share over that of own departures.
        common_first: the same before the first visit.
        deviation: standard deviation of an own departure at the level of losses before training, in their
            unit.
    """

    carried: float
    length: float
    rough: float
    power: float
    first: float
    common: float
    common_first: float
    deviation: float = 1.0

    @staticmethod
    def of(free: Floats, deviation: float = 1.0) -> Departures:
        """From the unbounded scale of `HYPERPARAMETERS`."""
        carried, length, rough, power, first, common, common_first = (float(v) for v in free)
        return Departures(float(expit(carried)), math.exp(length), float(expit(rough)), power,
                          math.exp(first), math.exp(common), math.exp(common_first), deviation)  # fmt: skip

    def scaled(self, unit: float) -> Departures:
        """The same for losses in a unit so many times smaller."""
        return replace(self, deviation=self.deviation * unit)

    def record(self) -> dict[str, float]:
        """Plain numbers, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


class Cells:
    """The losses of one schedule by document, visit and lag.

    Args:
        order: schedule, shape ``(E, T)``.
        longest: lags to provide for; those that occur if None.
        documents: which of them have losses, bool of shape ``(T,)``; all if None.

    Attributes:
        order: likewise.
        tasks: T.
        visits: largest number of visits V.
        lags: number of lags provided for.
        count: documents that have a cell, shape ``(V + 1, lags)``.
        mask: which documents have which, shape ``(T, V + 1, lags)``.
        repeats: whether every epoch has the same order.
    """

    def __init__(
        self,
        order: NDArray[np.int64],
        longest: int | None = None,
        documents: NDArray[np.bool_] | None = None,
    ) -> None:
        self.order = order
        self._visit, self._lag = lags(order)
        self.tasks = int(order.shape[1])
        self.visits = int(self._visit.max())
        self.lags = max(int(self._lag.max()) + 1, longest or 0)
        self._document = np.broadcast_to(np.arange(self.tasks), self._visit.shape)
        self.repeats = bool((order == order[0]).all())
        self._documents = documents
        self.mask = self.grid(np.ones(self._visit.shape)) > 0
        self.count = self.mask.sum(0)

    def grid(self, rows: Floats) -> Floats:
        """From ``(..., 1 + E*T, T)`` to ``(..., T, V + 1, lags)``; 0 where there is no loss."""
        shape = (*rows.shape[:-2], self.tasks, self.visits + 1, self.lags)
        result = np.zeros(shape)
        result[..., self._document, self._visit, self._lag] = rows
        if self._documents is not None:
            result[..., ~self._documents, :, :] = 0.0
        return result

    def lagged(self, longest: int) -> Cells:
        """The same with room for more lags."""
        return self if longest <= self.lags else Cells(self.order, longest, self._documents)

    def rows(self, grid: Floats) -> Floats:
        """From ``(..., T, V + 1, lags)`` back to ``(..., 1 + E*T, T)``."""
        return np.asarray(grid[..., self._document, self._visit, self._lag])

    def mean(self, rows: Floats) -> Floats:
        """Mean over the documents that have a cell, ``(V + 1, lags)``; 0 where none has."""
        return np.asarray(self.grid(rows).sum(-3) / np.maximum(self.count, 1))


class Whitening:
    """The covariance at given numbers, in the form in which it is used.

    Args:
        cells: of the schedule.
        departures: its numbers.
        level: mean loss of every cell over that before training, ``(V + 1, lags)``.
    """

    def __init__(self, cells: Cells, departures: Departures, level: Floats) -> None:
        self.cells, self.departures, self.level = cells, departures, level
        carried = departures.carried if cells.repeats else 0.0
        visits = np.arange(cells.visits)
        between = np.eye(cells.visits + 1)
        between[1:, 1:] = carried ** np.abs(visits[:, None] - visits)
        lag = np.arange(cells.lags)
        along = (1 - departures.rough) * np.exp(-np.abs(lag[:, None] - lag) / departures.length)
        along[lag, lag] += departures.rough
        self.by_visit, self.by_lag = (cholesky(c, lower=True, check_finite=False) for c in (between, along))
        safe = np.where(cells.count > 0, np.maximum(level, _LEAST_LEVEL), 1.0)
        size = safe**departures.power
        self.own = size.copy()
        self.own[0] *= departures.first
        # What a form misses in all documents is as large where losses are small: no reason makes it less.
        self.shared = np.full(size.shape, departures.common)
        self.shared[0] = departures.common_first
        self._inverse_visit, self._inverse_lag = (
            solve_triangular(root, np.eye(len(root)), lower=True, check_finite=False)
            for root in (self.by_visit, self.by_lag)
        )
        # log of the factor by which a white variable becomes a loss, at every cell
        self.log_size = (
            np.log(self.own) + np.log(np.diag(self.by_visit))[:, None] + np.log(np.diag(self.by_lag))
        )

    def white(self, rows: Floats) -> Floats:
        """Own departures as independent variables, ``(..., T, V + 1, lags)``; 0 where there is no loss."""
        return self.white_grid(self.cells.grid(rows))

    def white_grid(self, grid: Floats) -> Floats:
        """The same from losses by document, visit and lag."""
        # One product of all documents' visits, where one for each document would take longer.
        along = (grid / self.own).reshape(-1, self.cells.lags) @ self._inverse_lag.T
        return np.asarray(np.matmul(self._inverse_visit, along.reshape(grid.shape)) * self.cells.mask)

    def columns(self, document: int | np.integer[Any], missing: NDArray[np.bool_]) -> Floats:
        """A document's whitened losses where only one of those missing is not 0, and is 1.

        Args:
            document: which.
            missing: bool, shape ``(V + 1, lags)``.

        Returns:
            Shape ``((V + 1) * lags, missing losses)``.
        """
        visit, lag = np.nonzero(missing)
        columns = self._inverse_visit[:, None, visit] * self._inverse_lag[None, :, lag] / self.own[visit, lag]
        return np.asarray((columns * self.cells.mask[document][..., None]).reshape(-1, len(visit)))

    def log_missing(self, missing: NDArray[np.bool_]) -> float:
        """What the log determinant of the own field's covariance lacks where losses are missing.

        Of observed losses it is that of all, less that of the missing ones given the others, which is minus
        that of their part of the inverse: with C their `columns`, ``log |C^T C|`` is added.

        Args:
            missing: bool, shape ``(T, V + 1, lags)``.
        """
        return sum(
            float(np.linalg.slogdet((c := self.columns(document, missing[document])).T @ c)[1])
            for document in np.flatnonzero(missing.any((1, 2)))
        )

    def coloured(self, white: Floats) -> Floats:
        """Departures of independent variables: the inverse of `white`, on the grid of all cells."""
        return np.asarray(np.matmul(self.by_visit, white @ self.by_lag.T) * self.own)

    def split(self, white: Floats) -> tuple[Floats, Floats]:
        """Mean of every cell over its documents, ``(..., V + 1, lags)``, and deviations from it."""
        mean = white.sum(-3) / np.maximum(self.cells.count, 1)
        return mean, np.asarray((white - mean[..., None, :, :]) * self.cells.mask)

    @cached_property
    def observed(self) -> list[NDArray[np.int64]]:
        """Cells that occur, as flat indices: those before the first visit, and the later ones."""
        seen = self.cells.count.ravel() > 0
        first = np.arange(seen.size) < self.cells.lags
        return [np.flatnonzero(seen & first), np.flatnonzero(seen & ~first)]

    @cached_property
    def spreads(self) -> list[Floats]:
        """What whitened cell means make of the common field's own innovations, for the two groups of cells.

        The common field is ``shared (chol(F) x 1)`` times one innovation for every cell; a row stands for an
        observed cell, a column for a cell of the grid.
        """
        found = []
        for group, cells in enumerate(self.observed):
            rows = slice(0, 1) if group == 0 else slice(1, None)
            ratio = (self.shared / self.own)[rows]
            visit = np.einsum("nm,mq->nmq", self._inverse_visit[rows, rows], self.by_visit[rows, rows])
            spread = np.einsum("nmq,lk,mk->nlqk", visit, self._inverse_lag, ratio)
            spread = spread.reshape(ratio.size, ratio.size)
            found.append(spread[cells - (0 if group == 0 else self.cells.lags)])
        return found

    @cached_property
    def shared_parts(self) -> list[Floats]:
        """Covariance of what all documents share, whitened as their own is, for the two groups of cells."""
        return [spread @ spread.T for spread in self.spreads]

    @cached_property
    def factors(self) -> list[Floats]:
        """Lower Cholesky factors of the covariance of whitened cell means, for the two groups of cells."""
        count = self.cells.count.ravel()
        return [
            cholesky(part + np.diag(1 / count[cells]), lower=True)
            for part, cells in zip(self.shared_parts, self.observed, strict=True)
        ]

    def independent(self, means: Floats) -> Floats:
        """Whitened cell means ``(..., V + 1, lags)`` as independent variables, ``(..., cells)``."""
        flat = means.reshape(*means.shape[:-2], -1)
        return np.concatenate(
            [solve_triangular(factor, flat[..., cells].reshape(-1, len(cells)).T, lower=True).T
             .reshape(*flat.shape[:-1], len(cells))
             for factor, cells in zip(self.factors, self.observed, strict=True)],
            axis=-1,
        )  # fmt: skip

    def white_means(self, rows: Floats) -> Floats:
        """Means over documents of every cell, whitened as own departures are, ``(..., V + 1, lags)``."""
        # Documents differ in where they end: their white losses are averaged, not their losses whitened.
        return self.split(self.white(rows))[0]

    def means(self, rows: Floats) -> Floats:
        """Means over documents of every cell as independent variables, ``(..., cells)``."""
        return self.independent(self.white_means(rows))

    def innovations(self, means: Floats) -> Floats:
        """Expected innovations of the common field given whitened cell means, ``(V + 1, lags)``."""
        result, flat = np.zeros(means.shape), means.ravel()
        for group, (spread, factor, cells) in enumerate(
            zip(self.spreads, self.factors, self.observed, strict=True)
        ):
            expected = spread.T @ cho_solve((factor, True), flat[cells])
            if group == 0:
                result[0] = expected
            else:
                result[1:] = expected.reshape(-1, means.shape[1])
        return result

    def common(self, innovations: Floats) -> Floats:
        """The common field of innovations, ``(V + 1, lags)``."""
        return np.asarray(self.shared * (self.by_visit @ innovations))

    def log_determinant(self) -> float:
        """Of the covariance of all losses at deviation 1."""
        own = 2 * float((self.cells.count * self.log_size).sum())
        # The means' share of the white variables has variance 1/count, which `factors` hold in its place.
        freed = sum(float(np.log(self.cells.count.ravel()[cells]).sum()) for cells in self.observed)
        return own + freed + sum(2 * float(np.log(np.diag(f)).sum()) for f in self.factors)
