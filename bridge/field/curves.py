"""The fit of what documents share: theta and the covariance of departures in turn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bridge.field.common import OWN as _OWN
from bridge.field.common import CommonSizes, Turned, penalty
from bridge.field.departures import HYPERPARAMETERS, Departures, Whitening
from bridge.field.likelihood import Curves, Matrix, Scaled, scaled
from bridge.field.posterior import Draws
from bridge.model.mechanism import Mechanism
from bridge.search.descent import Box, Point, Stop, descend

__all__ = ["CurveFit", "MatrixFit", "Prior", "fit_curves"]

Floats = NDArray[np.float64]
# Rounds of theta and covariance in turn; real runs settle in two to four.
_ROUNDS = 8
# Of own departures of losses of size 1: what real runs have, times neighbouring means that count as one.
_USUAL_VARIANCE = 0.03**2 * 5
# Of the covariance's likelihood, by part; where another form's numbers are known, those are near enough.
_TIGHT, _LOOSE = 2e-9, 1e-6
# A misfit that is smoother leaves fewer than one mean in twenty: the data would say nothing any more.
_MOST_PERSISTENT = 0.9


@dataclass(frozen=True, eq=False)
class Prior:
    """What is known of the joint theta before.

    Attributes:
        box: its range.
        centre: means of the weak normal priors, shape ``(p,)``.
        width: their standard deviations.
    """

    box: Box
    centre: Floats
    width: Floats


@dataclass(frozen=True, eq=False)
class MatrixFit:
    """What was found of one matrix.

    Attributes:
        matrix: the data, losses that were not observed filled in by their expectation.
        shapes: the mechanism's, shape ``(1 + E*T, T)``.
        scales: k_j in the fit's unit, shape ``(T,)``.
        scale_covariance: of the scales at given theta, shape ``(T, T)``.
        departures: the covariance's numbers, deviation in the fit's unit.
        whitening: the covariance at them.
        persistence: correlation of the common misfit from lag to lag, which the covariance leaves out.
    """

    matrix: Matrix
    shapes: Floats
    scales: Floats
    scale_covariance: Floats
    departures: Departures
    whitening: Whitening
    persistence: float


@dataclass(frozen=True, eq=False)
class CurveFit:
    """Where the search ended.

    Attributes:
        mechanism: the form.
        prior: of theta.
        theta: joint parameters on the unbounded scale.
        covariance: of theta.
        information: what the data say of theta, in units of prior widths.
        curves: the objective in its last round.
        matrices: what was found of each matrix.
        numbers: of each covariance, on the scale of `HYPERPARAMETERS`.
        cost: the objective.
        searches: begin, end and cost of each search, the best first.
        evaluations: of the mechanism.
        converged: whether rounds ended by themselves.
        draws: from the posterior of theta; None where it is taken as Gaussian.
    """

    mechanism: Mechanism
    prior: Prior
    theta: Floats
    covariance: Floats
    information: Floats
    curves: Curves
    matrices: tuple[MatrixFit, ...]
    numbers: tuple[Floats, ...]
    cost: float
    searches: tuple[tuple[Floats, Floats, float], ...]
    evaluations: int
    converged: bool
    draws: Draws | None = None

    def some(self, count: int, rng: np.random.Generator) -> Floats:
        """Draws of theta, ``(count, p)``."""
        if self.draws is not None:
            return self.draws.some(count, rng)
        root = np.linalg.cholesky(self.covariance)
        return np.asarray(self.theta + rng.standard_normal((count, len(root))) @ root.T)


def fit_curves(
    mechanism: Mechanism,
    matrices: Sequence[Matrix],
    prior: Prior,
    begins: Sequence[Floats],
    numbers: Sequence[Floats] | None = None,
) -> CurveFit:
    """Maximise the marginal likelihood of cell means, priors included, and the covariance's restricted one.

    Args:
        mechanism: a form without pairs and floors and with a scale for each document.
        matrices: the data, in a unit in which losses are of size 1.
        prior: of the joint theta.
        begins: starting points; all are searched with the first covariance, the best to the end.
        numbers: the covariances' numbers in another form's fit to the same losses, on the scale of
            `HYPERPARAMETERS`; the search for them begins there, and ends earlier.
    """
    data = [_filled(m) for m in matrices]
    usual = np.array([h.centre for h in HYPERPARAMETERS])
    tolerance = _TIGHT if numbers is None else _LOOSE
    numbers = [usual.copy() for _ in data] if numbers is None else list(numbers)
    # Departures from where a search begins say nothing of those from where it ends.
    curves = replace(
        _curves(mechanism, data, numbers, prior.box.clip(begins[0]), prior),
        variance=[_USUAL_VARIANCE] * len(data),
    )
    searches, used = [], 0
    for begin in begins:
        ended = descend(curves, Point(begin, ()), prior.box, Stop(by=0.01, evaluations=60))
        used += ended.evaluations
        searches.append((begin, ended.point.theta, ended.cost))
    searches.sort(key=lambda search: search[2])
    theta, converged = searches[0][1], False
    for _ in range(_ROUNDS):
        moved = 0.0
        for n, matrix in enumerate(data):
            shapes = mechanism.losses(theta[matrix.index], matrix.order)
            part = scaled(matrix, curves.whitenings[n], shapes)
            if not matrix.observed[:, matrix.seen].all():
                data[n] = matrix = _filled(matrix, curves.whitenings[n], part.scales * shapes)
            new = _covariance(mechanism, matrix, theta, part.scales, prior, numbers[n], tolerance)
            moved, numbers[n] = max(moved, float(np.abs(new - numbers[n]).max())), new
        curves = _curves(mechanism, data, numbers, theta, prior)
        ended = descend(curves, Point(theta, ()), prior.box, Stop(by=1e-3, evaluations=60))
        used += ended.evaluations
        moved = max(moved, float(np.abs(ended.point.theta - theta).max()))
        theta = ended.point.theta
        if moved < 0.05:
            converged = True
            break
    found = []
    for matrix, whitening in zip(data, curves.whitenings, strict=True):
        shapes = mechanism.losses(theta[matrix.index], matrix.order)
        part = scaled(matrix, whitening, shapes)
        departures = replace(whitening.departures, deviation=math.sqrt(part.variance))
        persistence = _persistence(matrix, whitening, matrix.values - part.scales * shapes)
        inverse = np.asarray(np.linalg.inv(part.gram) * part.variance, dtype=np.float64)
        found.append(MatrixFit(matrix, shapes, part.scales, inverse, departures, whitening, persistence))
    normal = curves.normal(Point(theta, ()))
    covariance = np.asarray(np.linalg.inv(normal.information + normal.precision), dtype=np.float64)
    information = prior.width[:, None] * normal.information * prior.width
    return CurveFit(mechanism, prior, theta, covariance, information, curves, tuple(found), tuple(numbers),
                    ended.cost, tuple(searches), used, converged)  # fmt: skip


def _curves(
    mechanism: Mechanism, data: Sequence[Matrix], numbers: Sequence[Floats], theta: Floats, prior: Prior
) -> Curves:
    whitenings, relative, variance = [], [], []
    for matrix, free in zip(data, numbers, strict=True):
        whitening = Whitening(matrix.cells, Departures.of(free), matrix.level)
        shapes = mechanism.losses(theta[matrix.index], matrix.order)
        part: Scaled = scaled(matrix, whitening, shapes)
        persistence = _persistence(matrix, whitening, matrix.values - part.scales * shapes)
        whitenings.append(whitening)
        relative.append(part.scales / part.scales.mean())
        variance.append(part.variance * _count_as_one(persistence, matrix.cells.tasks))
    return Curves(mechanism, data, whitenings, relative, variance, prior.centre, prior.width)


def _covariance(
    mechanism: Mechanism,
    matrix: Matrix,
    theta: Floats,
    scales: Floats,
    prior: Prior,
    free: Floats,
    tolerance: float,
) -> Floats:
    """The covariance's numbers: those of own departures from deviations, of common ones from means."""
    cells, value = matrix.cells, mechanism.evaluate(theta[matrix.index], matrix.order)
    residual = matrix.values - scales * value.shapes
    spare, grid = np.maximum(cells.count - 1, 0), cells.grid(residual)
    missing = cells.grid((~matrix.observed).astype(np.float64)) > 0

    def own(values: Floats) -> float:
        whitening = Whitening(cells, Departures.of(np.concatenate([values, free[_OWN:]])), matrix.level)
        deviation = whitening.split(whitening.white_grid(grid))[1]
        variance = max(float((deviation**2).sum()) / matrix.freedom, 1e-20)
        fit = matrix.freedom * math.log(variance) + 2 * float((spare * whitening.log_size).sum())
        return fit + whitening.log_missing(missing) + penalty(values, 0)

    bounds = [(h.low, h.high) for h in HYPERPARAMETERS]
    stop = {"maxiter": 15, "ftol": tolerance}
    ended = minimize(own, free[:_OWN], method="L-BFGS-B", bounds=bounds[:_OWN], options=stop)
    unit = np.concatenate([ended.x, np.zeros(2)])  # common misfits as large as own departures
    whitening = Whitening(cells, Departures.of(unit), matrix.level)
    deviation = whitening.split(whitening.white_grid(grid))[1]
    variance = max(float((deviation**2).sum()) / matrix.freedom, 1e-20)
    width, centre = prior.width[matrix.index], prior.centre[matrix.index]
    columns = np.concatenate([(scales * value.shapes)[None], scales * value.jacobian])
    turned = Turned(whitening)
    common = CommonSizes(
        turned.means(whitening.white_means(residual) / math.sqrt(variance)),
        turned.means(whitening.white_means(columns) / math.sqrt(variance)),
        turned.spread,
        np.concatenate([[0.0], 1 / width**2]),
        np.concatenate([[0.0], centre - theta[matrix.index]]),
    )
    around = np.clip(free[_OWN:] + np.array([[0.0, 0.0], [0.7, 0.0], [0.0, 0.7]]), *np.array(bounds[_OWN:]).T)
    options = {"xatol": 0.02, "fatol": 0.05, "maxiter": 100, "initial_simplex": around}
    sizes = minimize(common.cost, free[_OWN:], method="Nelder-Mead", bounds=bounds[_OWN:], options=options)
    return np.concatenate([ended.x, sizes.x])


def _persistence(matrix: Matrix, whitening: Whitening, residual: Floats) -> float:
    """Correlation of the common misfit between neighbouring lags of a visit, from 0."""
    cells = matrix.cells
    mean = cells.mean(residual) / whitening.shared
    common = (cells.count > cells.tasks // 2)[1:]
    both = common[:, 1:] & common[:, :-1]
    left, right = mean[1:, :-1][both], mean[1:, 1:][both]
    size = math.sqrt(float((left**2).sum() * (right**2).sum()))
    return float(np.clip((left * right).sum() / size, 0.0, _MOST_PERSISTENT)) if size > 0 else 0.0


def _count_as_one(correlation: float, count: int) -> float:
    """How many of so many neighbours, each so correlated with the next, say as much as one.

    The variance of their mean over that of as many independent ones,
    ``1 + 2 sum_k (1 - k/n) r^k`` with k from 1 to n - 1.
    """
    r = correlation
    return (1 + r) / (1 - r) - 2 * r * (1 - r**count) / (count * (1 - r) ** 2)


def _filled(matrix: Matrix, whitening: Whitening | None = None, fitted: Floats | None = None) -> Matrix:
    """Losses that were not observed by their expectation; at first by the mean of their cell.

    Given the fitted losses and the covariance, a document's missing departures are those that make its white
    ones least: the expectation given the others.
    """
    if matrix.observed.all():
        return matrix
    values = np.where(matrix.observed, matrix.values, 0.0)
    seen = matrix.cells.grid(matrix.observed.astype(np.float64)).sum(-3)

    def of_cells(losses: Floats) -> Floats:
        """Each loss by the mean of those observed in its cell; NaN where there is none."""
        with np.errstate(invalid="ignore"):
            mean = matrix.cells.grid(np.where(matrix.observed, losses, 0.0)).sum(-3) / seen
        return matrix.cells.rows(np.broadcast_to(mean, (len(matrix.seen), *mean.shape)))

    if whitening is None or fitted is None:
        filling, rows = of_cells(values), np.arange(len(values))
        for column in np.flatnonzero(matrix.seen):
            known = matrix.observed[:, column]
            between = np.interp(rows, rows[known], values[known, column])
            filling[:, column] = np.where(np.isnan(filling[:, column]), between, filling[:, column])
        return replace(matrix, values=np.where(matrix.observed, values, np.nan_to_num(filling)))
    cells = matrix.cells
    # Departures that all documents share are those of the others; of a cell without any, none.
    shared = np.nan_to_num(of_cells(values - fitted))
    own = whitening.white(np.where(matrix.observed, values - fitted - shared, 0.0))
    missing = cells.grid((~matrix.observed).astype(np.float64)) > 0
    left = np.zeros(own.shape)
    for document in np.flatnonzero(missing.any((1, 2))):
        columns = whitening.columns(document, missing[document])
        left[document][missing[document]] = np.linalg.lstsq(columns, -own[document].ravel(), rcond=None)[0]
    return replace(matrix, values=np.where(matrix.observed, values, fitted + shared + cells.rows(left)))
