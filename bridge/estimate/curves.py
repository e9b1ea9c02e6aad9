"""The fit of what documents share: theta and the covariance of departures in turn, and what they leave open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from bridge.estimate.departures import HYPERPARAMETERS, Cells, Departures, Whitening
from bridge.estimate.descent import Box, Point, Stop, descend
from bridge.estimate.likelihood import Curves, Matrix, scaled
from bridge.model.mechanism import Mechanism

__all__ = ["CurveFit", "MatrixFit", "fit_curves"]

Floats = NDArray[np.float64]
# Rounds of theta and covariance in turn; real runs settle in two to four.
_ROUNDS = 5
_OWN = len(HYPERPARAMETERS) - 2


@dataclass(frozen=True, eq=False)
class MatrixFit:
    """What was found of one matrix.

    Attributes:
        matrix: the data.
        shapes: the mechanism's, shape ``(1 + E*T, T)``.
        scales: k_j in the fit's unit, shape ``(T,)``.
        scale_covariance: of the scales at given theta, shape ``(T, T)``.
        departures: the covariance's numbers, deviation in the fit's unit.
        level: mean loss of every cell over that before training.
        whitening: the covariance at them.
        persistence: correlation of the common misfit from lag to lag, which the covariance leaves out.
    """

    matrix: Matrix
    shapes: Floats
    scales: Floats
    scale_covariance: Floats
    departures: Departures
    level: Floats
    whitening: Whitening
    persistence: float

    @property
    def residual(self) -> Floats:
        """Losses less the mechanism's, in the fit's unit."""
        return np.asarray(self.matrix.values - self.scales * self.shapes)


@dataclass(frozen=True, eq=False)
class CurveFit:
    """Where the search ended.

    Attributes:
        mechanism: the form.
        theta: joint parameters on the unbounded scale.
        covariance: of theta, widened for misfit that is smooth in lag.
        information: what the data say of theta, in units of prior widths.
        matrices: what was found of each matrix.
        cost: twice the negative log restricted likelihood, priors included.
        evidence: cost with theta integrated out (Laplace), for comparing forms on the same data.
        evaluations: of the mechanism.
        converged: whether rounds ended by themselves.
    """

    mechanism: Mechanism
    theta: Floats
    covariance: Floats
    information: Floats
    matrices: tuple[MatrixFit, ...]
    cost: float
    evidence: float
    evaluations: int
    converged: bool


def fit_curves(
    mechanism: Mechanism,
    matrices: Sequence[Matrix],
    box: Box,
    centre: Floats,
    width: Floats,
    begins: Sequence[Floats],
) -> CurveFit:
    """Maximise the restricted likelihood, priors included.

    Args:
        mechanism: a form without pairs and floors and with a scale for each document.
        matrices: the data, in a unit in which losses are of size 1.
        box: range of the joint theta.
        centre: prior means of theta.
        width: prior standard deviations.
        begins: starting points; each is searched with the covariance's priors, the best to the end.
    """
    numbers = [np.array([h.centre for h in HYPERPARAMETERS]) for _ in matrices]
    used, found = 0, []
    curves = _curves(mechanism, matrices, numbers, box.clip(begins[0]), centre, width)
    for begin in begins:
        ended = descend(curves, Point(begin, ()), box, Stop(by=0.01, evaluations=60))
        used += ended.evaluations
        found.append((ended.cost, ended.point.theta))
    theta = min(found, key=lambda pair: pair[0])[1]
    converged = False
    for _ in range(_ROUNDS):
        new = [_covariance(m, _residual(mechanism, m, theta, free), _level(m), free)
               for m, free in zip(matrices, numbers, strict=True)]  # fmt: skip
        moved = max(float(np.abs(a - b).max()) for a, b in zip(new, numbers, strict=True))
        numbers = new
        curves = _curves(mechanism, matrices, numbers, theta, centre, width)
        ended = descend(curves, Point(theta, ()), box, Stop(by=1e-3, evaluations=60))
        used += ended.evaluations
        moved = max(moved, float(np.abs(ended.point.theta - theta).max()))
        theta = ended.point.theta
        if moved < 0.05:
            converged = True
            break
    return _result(curves, theta, numbers, used, converged)


def _curves(
    mechanism: Mechanism,
    matrices: Sequence[Matrix],
    numbers: Sequence[Floats],
    theta: Floats,
    centre: Floats,
    width: Floats,
) -> Curves:
    whitenings, relative, variance = [], [], []
    for matrix, free in zip(matrices, numbers, strict=True):
        whitening = Whitening(matrix.cells, Departures.of(free), _level(matrix))
        shapes = mechanism.losses(theta[matrix.index], matrix.order)
        part = scaled(matrix, whitening, shapes)
        whitenings.append(whitening)
        relative.append(part.scales / part.scales.mean())
        left = matrix.values - part.scales * shapes
        variance.append(part.own_variance(matrix) * _effective(_persistence(matrix.cells, left, whitening)))
    return Curves(mechanism, matrices, whitenings, relative, variance, centre, width)


def _residual(mechanism: Mechanism, matrix: Matrix, theta: Floats, free: Floats) -> Floats:
    shapes = mechanism.losses(theta[matrix.index], matrix.order)
    whitening = Whitening(matrix.cells, Departures.of(free), _level(matrix))
    return np.asarray(matrix.values - scaled(matrix, whitening, shapes).scales * shapes)


def _level(matrix: Matrix) -> Floats:
    """Mean loss of every cell over that before training."""
    return matrix.cells.mean(matrix.values) / float(matrix.values[0].mean())


def _penalty(free: Floats, which: slice) -> float:
    own = HYPERPARAMETERS[which]
    return sum(((v - h.centre) / h.width) ** 2 for v, h in zip(free, own, strict=True))


def _covariance(matrix: Matrix, residual: Floats, level: Floats, free: Floats) -> Floats:
    """The covariance's numbers given residuals: own departures from deviations, common ones from means."""
    cells = matrix.cells
    spare = np.maximum(cells.count - 1, 0)
    number = int(spare.sum()) - cells.tasks

    def own(values: Floats) -> float:
        whitening = Whitening(cells, Departures.of(np.concatenate([values, free[_OWN:]])), level)
        deviation = whitening.split(whitening.white(residual))[1]
        squares = max(float((deviation**2).sum()), 1e-300)
        fit = number * math.log(squares / number) + 2 * float((spare * whitening.log_size).sum())
        return fit + _penalty(values, slice(0, _OWN))

    bounds = [(h.low, h.high) for h in HYPERPARAMETERS]
    ended = minimize(own, free[:_OWN], method="L-BFGS-B", bounds=bounds[:_OWN], options={"maxiter": 15})
    found = np.concatenate([ended.x, free[_OWN:]])
    unit = Departures.of(np.concatenate([ended.x, [0.0, 0.0]]))
    whitening = Whitening(cells, unit, level)
    mean, deviation = whitening.split(whitening.white(residual))
    variance = max(float((deviation**2).sum()) / number, 1e-300)
    count = cells.count.ravel()
    for group, seen in enumerate(whitening.observed):
        part, values = whitening.shared_parts[group], mean.ravel()[seen] / math.sqrt(variance)
        h = HYPERPARAMETERS[_OWN + 1 - group]

        def common(log_size: float, part: Floats = part, values: Floats = values, h=h, seen=seen) -> float:  # noqa: ANN001
            factor = np.linalg.cholesky(math.exp(2 * log_size) * part + np.diag(1 / count[seen]))
            white = np.linalg.solve(factor, values) if len(seen) < 50 else _forward(factor, values)
            fit = 2 * float(np.log(np.diag(factor)).sum()) + float(white @ white)
            return fit + ((log_size - h.centre) / h.width) ** 2

        size = minimize_scalar(common, bounds=(h.low, h.high), method="bounded", options={"xatol": 0.02})
        found[_OWN + 1 - group] = size.x
    return found


def _forward(factor: Floats, values: Floats) -> Floats:
    from scipy.linalg import solve_triangular

    return np.asarray(solve_triangular(factor, values, lower=True))


def _result(curves: Curves, theta: Floats, numbers: Sequence[Floats], used: int, converged: bool) -> CurveFit:
    found, cost = [], curves.prior(theta)
    for n, (matrix, whitening, free) in enumerate(zip(curves.matrices, curves.whitenings, numbers, strict=True)):
        shapes = curves.mechanism.losses(theta[matrix.index], matrix.order)
        part = scaled(matrix, whitening, shapes)
        variance = part.own_variance(matrix)
        cost += float(part.residual[1] @ part.residual[1]) / variance
        cost += sum(2 * float(np.log(np.diag(f)).sum()) + len(f) * math.log(variance) for f in whitening.factors)
        cost += 2 * float(whitening.log_size.ravel()[np.concatenate(whitening.observed)].sum())
        persistence = _persistence(matrix.cells, matrix.values - part.scales * shapes, whitening)
        departures = replace(whitening.departures, deviation=math.sqrt(variance))
        found.append(
            MatrixFit(matrix, shapes, part.scales, np.linalg.inv(part.gram) * variance, departures,
                      _level(matrix), whitening, persistence)
        )  # fmt: skip
    normal = curves.normal(Point(theta, ()))
    covariance = np.linalg.inv(normal.information + normal.precision)
    unit = curves.width[:, None] * normal.information * curves.width
    whole = np.eye(len(theta)) + unit
    evidence = cost + float(np.linalg.slogdet(whole)[1])
    return CurveFit(curves.mechanism, theta, covariance, unit, tuple(found), cost, evidence, used, converged)


def _effective(persistence: float) -> float:
    """Neighbouring lags that count as one."""
    return (1 + persistence) / (1 - persistence)


def _persistence(cells: Cells, residual: Floats, whitening: Whitening) -> float:
    """Correlation of the common misfit between neighbouring lags of the same visit, 0 to .9."""
    mean = cells.mean(residual) / whitening.shared
    seen = (cells.count > cells.tasks // 2)[1:]
    both = seen[:, 1:] & seen[:, :-1]
    left, right = mean[1:, :-1][both], mean[1:, 1:][both]
    size = math.sqrt(float((left**2).sum() * (right**2).sum()))
    return float(np.clip((left * right).sum() / size, 0.0, 0.9)) if size > 0 else 0.0
