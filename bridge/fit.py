"""Fit a mechanism to a loss matrix; forecast held-out epochs; null models beside both."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import least_squares

from bridge.mechanism import Mechanism
from toymodel import InputError, LossMatrix

__all__ = ["FitResult", "Forecast", "Parameter", "fit", "forecast", "r_squared"]

Floats = NDArray[np.float64]
# Singular values of the scaled Jacobian below this part of the largest mark a direction the data do not see.
_FLAT = 1e-4


@dataclass(frozen=True)
class Parameter:
    """A fitted parameter with its 95% interval, or the reason why it has none."""

    name: str
    meaning: str
    value: float
    start: float
    low: float | None
    high: float | None
    reason: str = ""


@dataclass(frozen=True)
class Forecast:
    """Held-out epochs predicted from a fit to the ones before.

    Attributes:
        fitted_epochs: epochs the fit saw; 0 where there was no forecast.
        prediction: predicted losses of the whole run; None where there was no forecast.
        r2: over held-out entries, 1 - SSE/SST about their own mean; None where there was no forecast.
        nulls: the same for curves that know no mechanism.
        reason: why there is no forecast.
    """

    fitted_epochs: int
    prediction: LossMatrix | None
    r2: float | None
    nulls: dict[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class FitResult:
    """The best fit and what is known about it.

    Attributes:
        mechanism: the form fitted.
        data: the losses.
        prediction: the mechanism's losses.
        theta: parameters on the unbounded scale.
        floor: c, in the unit of the losses.
        scales: k_j, shape ``(T,)``.
        parameters: values, intervals, reasons.
        correlation: of theta, shape ``(p, p)``.
        r2: over all entries, 1 - SSE/SST about the grand mean.
        r2_linear_start: largest difference in R^2 between starts that converged.
        flat_directions: combinations of parameters that the data do not determine, in words.
        starts: starting points tried.
        evaluations: model evaluations in all.
        seconds: wall time.
    """

    mechanism: Mechanism
    data: LossMatrix
    prediction: LossMatrix
    theta: Floats
    floor: float
    scales: Floats
    parameters: tuple[Parameter, ...]
    correlation: Floats
    r2: float
    r2_linear_start: float
    flat_directions: tuple[str, ...]
    starts: int
    evaluations: int
    seconds: float


def fit(losses: LossMatrix, mechanism: Mechanism | None = None) -> FitResult:
    """Least squares over all entries from several starts.

    The noise is taken as independent and equal in every entry; losses of neighbouring episodes are not
    independent, so the intervals are optimistic.

    Raises:
        InputError: for one epoch only, constant losses, or fewer entries than parameters.
    """
    mechanism = mechanism or Mechanism()
    if losses.epochs < 2:
        raise InputError("a fit to 1 epoch", expected="at least 2 epochs, so that documents return",
                         fix="train for more: --epochs 5")  # fmt: skip
    values = losses.values
    spread = float(((values - values.mean()) ** 2).sum())
    if spread <= 1e-24 * values.size * max(1.0, float(values.mean()) ** 2):
        raise InputError("losses that are all equal", expected="losses that change during training",
                         fix="check that the run trained: a larger --lr or more --steps")  # fmt: skip
    unknowns = len(mechanism.names) + 1 + (losses.tasks if mechanism.scale_per_document else 1)
    if values.size <= unknowns:
        raise InputError(f"{values.size} losses for {unknowns} parameters", expected="more losses than parameters",
                         fix="use more documents or epochs, or Mechanism(drift=False)")  # fmt: skip
    began = time.perf_counter()

    def residual(theta: Floats) -> Floats:
        shapes = mechanism.shapes(theta, losses.order)
        floor, scales = mechanism.solve_linear(shapes, values)
        return (floor + scales * shapes - values).ravel()

    low, high = mechanism.bounds
    tried = [
        (start, least_squares(residual, start, bounds=(low, high), x_scale=1.0, jac="3-point"))
        for start in mechanism.starts
    ]
    start, best = min(tried, key=lambda pair: pair[1].cost)
    costs = [2 * result.cost for _, result in tried if result.success]
    theta = best.x
    shapes = mechanism.shapes(theta, losses.order)
    floor, scales = mechanism.solve_linear(shapes, values)
    parameters, correlation, flat = _uncertainty(mechanism, theta, start, best.jac, 2 * best.cost, unknowns)
    return FitResult(
        mechanism=mechanism,
        data=losses,
        prediction=LossMatrix(floor + scales * shapes, losses.order, {"mechanism": mechanism.name}),
        theta=theta,
        floor=floor,
        scales=scales,
        parameters=parameters,
        correlation=correlation,
        r2=1 - 2 * best.cost / spread,
        r2_linear_start=(max(costs) - min(costs)) / spread if costs else float("nan"),
        flat_directions=flat,
        starts=len(tried),
        evaluations=sum(int(r.nfev) for _, r in tried),
        seconds=time.perf_counter() - began,
    )


def _uncertainty(
    mechanism: Mechanism, theta: Floats, start: Floats, jacobian: Floats, sse: float, unknowns: int
) -> tuple[tuple[Parameter, ...], Floats, tuple[str, ...]]:
    """Intervals from the SVD of the scaled Jacobian; what it does not see gets a reason instead of a number.

    The Jacobian is that of the projected residual, so the floor and the scales are already accounted for.
    """
    names = mechanism.names
    freedom = jacobian.shape[0] - unknowns
    norms = np.linalg.norm(jacobian, axis=0)
    biggest = norms.max()
    dead = norms <= _FLAT * biggest if biggest > 0 else np.ones(len(names), dtype=bool)
    scale = np.where(dead, max(biggest, 1.0), norms)
    _, singular, directions = np.linalg.svd(jacobian / scale, full_matrices=False)
    seen = singular > _FLAT * singular.max() if singular.max() > 0 else np.zeros(len(singular), dtype=bool)
    flat = directions[~seen]
    inverse = directions[seen].T / singular[seen]
    covariance = (sse / freedom) * (inverse @ inverse.T) / np.outer(scale, scale)
    error = np.sqrt(np.diag(covariance))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = covariance / np.outer(error, error)
    words = tuple(
        " ".join(f"{c:+.2f} {n}" for c, n in zip(row, names, strict=True) if abs(c) > 0.1) for row in flat
    )
    low_bound, high_bound = mechanism.bounds
    reach = stats.t.ppf(0.975, freedom)
    value, begun = mechanism.natural(theta), mechanism.natural(start)
    low, high = mechanism.natural(theta - reach * error), mechanism.natural(theta + reach * error)
    result = []
    for p, name in enumerate(names):
        involved = [w for w, row in zip(words, flat, strict=True) if abs(row[p]) > 0.1]
        at_bound = min(theta[p] - low_bound[p], high_bound[p] - theta[p]) < 1e-3
        reason = ""
        if involved:
            reason = f"the data do not determine {involved[0]}"
        elif at_bound:
            reason = "at the edge of its range: the data say only that it is extreme"
        elif reach * error[p] > high_bound[p] - low_bound[p]:
            reason = "its interval is wider than its whole range"
        ends = (None, None) if reason else (float(low[p]), float(high[p]))
        result.append(Parameter(name, mechanism.meanings[p], float(value[p]), float(begun[p]), *ends, reason))
    return tuple(result), correlation, words


def forecast(losses: LossMatrix, held_out: int = 2, mechanism: Mechanism | None = None) -> Forecast:
    """Fit the first epochs only and predict the last `held_out` ones, drift continued, nothing refitted."""
    seen = losses.epochs - held_out
    if seen < 2:
        return Forecast(0, None, None, reason=f"{losses.epochs} epochs leave {seen} to fit after holding out "
                        f"{held_out}; at least 2 are needed")  # fmt: skip
    known = losses.first_epochs(seen)
    result = fit(known, mechanism)
    values = result.mechanism.predict(result.theta, losses.order, result.floor, result.scales)
    prediction = LossMatrix(values, losses.order, {"mechanism": result.mechanism.name, "fitted_epochs": seen})
    first = 1 + seen * losses.tasks
    truth = losses.values[first:]
    nulls = {name: r_squared(truth, guess) for name, guess in _nulls(known, held_out).items()}
    return Forecast(seen, prediction, r_squared(truth, values[first:]), nulls)


def _nulls(known: LossMatrix, held_out: int) -> dict[str, Floats]:
    """Continuations that know nothing of slow and fast weights; shape ``(held_out * T, T)`` each."""
    tasks = known.tasks
    last, before = known.values[-tasks:], known.values[-2 * tasks : -tasks]
    ratio = last / np.maximum(before, 1e-12)
    geometric = [last * ratio**n for n in range(1, held_out + 1)]
    return {
        "last epoch repeated": np.concatenate([last] * held_out),
        "each entry continued geometrically": np.concatenate(geometric),
    }


def r_squared(truth: Floats, guess: Floats) -> float:
    """1 - SSE/SST, SST about the mean of `truth`."""
    return float(1 - ((truth - guess) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
