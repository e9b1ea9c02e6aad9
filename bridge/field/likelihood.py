"""Restricted likelihood of a loss matrix: the mechanism's curves, a scale per document, and departures.

Scales k_j enter linearly and are integrated out (restricted maximum likelihood), the deviation of the
departures is solved for, theta is searched by Gauss-Newton steps (`bridge.search.descent`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bridge.field.departures import Cells, Whitening
from bridge.model.mechanism import Mechanism
from bridge.search.descent import Damped, Point

__all__ = ["Curves", "Matrix", "Posterior", "Scaled", "scaled"]

Floats = NDArray[np.float64]
# Of losses of size 1: what rounding leaves of losses without any departure.
_LEAST_VARIANCE = 1e-20


@dataclass(frozen=True, eq=False)
class Matrix:
    """One loss matrix of a fit.

    Attributes:
        values: losses in the fit's unit, shape ``(1 + E*T, T)``; those not observed are filled in by the fit.
        order: shape ``(E, T)``.
        index: which components of the joint theta are this matrix's, shape ``(p,)``.
        observed: bool of the losses' shape; documents without any have no part in the fit.
    """

    values: Floats
    order: NDArray[np.int64]
    index: NDArray[np.int64]
    observed: NDArray[np.bool_]

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """Documents of which there are losses, shape ``(T,)``."""
        return np.asarray(self.observed.any(0))

    @cached_property
    def cells(self) -> Cells:
        """Its losses by document, visit and lag."""
        return Cells(self.order, documents=None if self.seen.all() else self.seen)

    @cached_property
    def level(self) -> Floats:
        """Mean loss of every cell over that before training, ``(V + 1, lags)``."""
        start = float(self.values[0, self.seen].mean())
        return self.cells.mean(self.values) / (start if start > 0 else 1.0)

    @cached_property
    def freedom(self) -> int:
        """Deviations from cell means, less scales and losses that were filled in; at least 1."""
        spare = int(np.maximum(self.cells.count - 1, 0).sum())
        missing = int((~self.observed[:, self.seen]).sum())
        return max(spare - int(self.seen.sum()) - missing, 1)


@dataclass(frozen=True, eq=False)
class Scaled:
    """A matrix against shapes: what scale every document has, and what that leaves.

    Attributes:
        scales: k_j, shape ``(T,)``; documents without losses have the mean of the others.
        gram: of the scales, shape ``(T, T)``.
        means: what is left of cell means, as independent variables, ``(cells,)``.
        variance: of own departures, from deviations from cell means.
    """

    scales: Floats
    gram: Floats
    means: Floats
    variance: float


Known = tuple[Floats, Floats]
"""Whitened losses: cell means as independent variables, and deviations from them, ``(T, cells)``."""


def known(matrix: Matrix, whitening: Whitening) -> Known:
    """What `scaled` needs of the losses, whatever the shapes."""
    mean, deviation = whitening.split(whitening.white(matrix.values))
    return whitening.independent(mean), deviation.reshape(matrix.values.shape[1], -1)


def scaled(matrix: Matrix, whitening: Whitening, shapes: Floats, losses: Known | None = None) -> Scaled:
    """Generalised least squares for the scales.

    With z_j the whitened shape of one document, the mean of ``k_j z_j`` over the n documents of a cell is
    ``sum_j k_j z_j / n``, and deviations have the Gram matrix ``diag(z_j . z_j) - Z diag(1/n) Z^T``.
    """
    tasks = matrix.values.shape[1]
    target, own = known(matrix, whitening) if losses is None else losses
    z = whitening.white(shapes)
    share = z / np.maximum(whitening.cells.count, 1)
    means = whitening.independent(share)
    z, share = z.reshape(tasks, -1), share.reshape(tasks, -1)
    gram = np.diag((z * z).sum(1)) - share @ z.T + means @ means.T
    gram[~matrix.seen, ~matrix.seen] = 1.0
    scales = np.linalg.solve(gram, (z * own).sum(1) + means @ target)
    typical = float(scales[matrix.seen].mean())
    # Losses are above 0, and so are scales; a document that says otherwise has the others'.
    scales = np.where(matrix.seen & (scales > 1e-6 * abs(typical)), scales, abs(typical))
    inside = whitening.cells.mask.reshape(tasks, -1)
    left = own - (scales[:, None] * z - (scales @ share)) * inside
    variance = max(float((left * left).sum()) / matrix.freedom, _LEAST_VARIANCE)
    return Scaled(scales, gram, target - scales @ means, variance)


@dataclass(frozen=True, eq=False)
class Curves:
    """Twice the negative log marginal likelihood of the cell means, as `descend` asks for it.

    Means over documents are independent of deviations from them, and are what documents share. theta is
    estimated from them alone: the many losses of a cell are ruled by each document's own departures, and a
    form that followed those would give away what all documents do for what some do. A misfit that is smooth
    in lag makes neighbouring means count as fewer: `variance` is raised by as much.

    Attributes:
        mechanism: the form.
        matrices: the data.
        whitenings: the covariance of each.
        relative: scale of every document over their mean, for each matrix.
        variance: of own departures, times the neighbouring means that count as one, for each.
        centre: prior means of theta.
        width: prior standard deviations.
    """

    mechanism: Mechanism
    matrices: Sequence[Matrix]
    whitenings: Sequence[Whitening]
    relative: Sequence[Floats]
    variance: Sequence[float]
    centre: Floats
    width: Floats

    def prior(self, theta: Floats) -> float:
        """Squared distance from the priors' means, in their widths."""
        return float((((theta - self.centre) / self.width) ** 2).sum())

    @cached_property
    def _known(self) -> list[Known]:
        return [known(m, whitening) for m, whitening in zip(self.matrices, self.whitenings, strict=True)]

    def cost(self, point: Point) -> float:
        """The objective, without what depends on the covariance alone."""
        total = self.prior(point.theta)
        for n, matrix in enumerate(self.matrices):
            shapes = self.mechanism.losses(point.theta[matrix.index], matrix.order)
            shapes = self.relative[n] * shapes
            left = self._left(n, self.whitenings[n].means(shapes))[0]
            total += float(left @ left) / self.variance[n]
        return total

    def residual_rows(self, n: int, theta: Floats) -> Floats:
        """Losses of a matrix less the mechanism's at the best common scale, ``(1 + E*T, T)``."""
        matrix = self.matrices[n]
        shapes = self.mechanism.losses(theta[matrix.index], matrix.order)
        shapes = self.relative[n] * shapes
        return np.asarray(matrix.values - self._left(n, self.whitenings[n].means(shapes))[1] * shapes)

    def _left(self, n: int, curve: Floats) -> tuple[Floats, float]:
        """What is left of a matrix's curves at their best common scale, and that scale."""
        target = self._known[n][0]
        scale = float(curve @ target) / max(float(curve @ curve), 1e-300)
        return target - scale * curve, scale

    def normal(self, point: Point) -> Posterior:
        """Curvature and slope."""
        size = len(point.theta)
        precision = np.diag(1 / self.width**2)
        information, slope = np.zeros((size, size)), -precision @ (point.theta - self.centre)
        for n, matrix in enumerate(self.matrices):
            value = self.mechanism.evaluate(point.theta[matrix.index], matrix.order)
            whitening, relative = self.whitenings[n], self.relative[n]
            curve = whitening.means(relative * value.shapes)
            left, scale = self._left(n, curve)
            tangent = scale * whitening.means(relative * value.jacobian)
            unit = curve / math.sqrt(max(float(curve @ curve), 1e-300))
            tangent = tangent - np.outer(tangent @ unit, unit)
            at = np.ix_(matrix.index, matrix.index)
            np.add.at(information, at, tangent @ tangent.T / self.variance[n])
            np.add.at(slope, matrix.index, tangent @ left / self.variance[n])
        return Posterior(information, precision, slope)


@dataclass(frozen=True, eq=False)
class Posterior:
    """Normal equations of theta: what the data say, and the priors.

    Attributes:
        information: of the data, shape ``(p, p)``.
        precision: of the priors, diagonal.
        slope: in which half the cost falls.
    """

    information: Floats
    precision: Floats
    slope: Floats

    def damped(self, damping: float) -> Damped:
        """As in `bridge.search.descent.Normal`."""
        whole = self.information + self.precision
        return Damped(whole + damping * np.diag(np.diag(whole)), self.slope)
