"""What training longer will do: further epochs, with an interval.

A form that explains draws parameters, scales and departures together (`bridge.field.outlook`). For one
that describes, the expectation is the mechanism's with what is left of its residuals
(`bridge.judge.forecast`), and around it lie draws of the parameters from their covariance, of noise like the
residuals', and of what the fit does not explain of the documents' common curves: its share of them in the
last epochs seen, as a factor of each draw's own that grows with every further epoch as a random walk does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from bridge.estimate.result import FitResult
from bridge.judge.curves import lag_curves
from bridge.judge.forecast import carry_residuals
from bridge.search.linear import project
from bridge.search.uncertainty import reduce
from toymodel import InputError, LossMatrix, online_loss, recovery_scores
from toymodel.base.words import arg
from toymodel.measures.lag import lags
from toymodel.measures.schedules import each_once

__all__ = ["EpochsAhead", "Interval", "epochs_ahead"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A predicted number with its 95% interval; None, with NaN ends, where the number has no meaning."""

    value: float | None
    low: float
    high: float

    def __str__(self) -> str:
        return "none" if self.value is None else f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, eq=False)
class EpochsAhead:
    """Epochs after those of the fitted run.

    Attributes:
        fitted_epochs: epochs that the fit saw.
        losses: expected losses of all epochs, seen and further.
        after: mean loss over all documents at the end of each further epoch.
        before: mean loss right before training in each further epoch.
        scores: recovery scores between each further visit and the one before.
    """

    fitted_epochs: int
    losses: LossMatrix
    after: tuple[Interval, ...]
    before: tuple[Interval, ...]
    scores: tuple[Interval, ...]


def epochs_ahead(result: FitResult, count: int, *, draws: int = 200, seed: int = 0) -> EpochsAhead:
    """Predict further epochs of the (first) fitted run, its order going on as in its last epoch.

    Args:
        result: the fit.
        count: further epochs.
        draws: behind the intervals.
        seed: of NumPy's default generator.

    Raises:
        InputError: for no further epoch.
    """
    if count < 1:
        raise InputError(arg("epochs_ahead", count), expected="at least 1", fix=arg("epochs_ahead", 2))
    data = result.data
    order = result.predict(epochs=data.epochs + count).order
    rng = np.random.default_rng(seed)
    if result.curves is not None:
        expected, drawn = result.expected(order), list(result.sample(order, draws, rng))
    else:
        expected, drawn = _described(result, order, draws, rng)
    found = [_numbers(LossMatrix(values, order), data.epochs) for values in drawn]
    table = np.array(found)
    # A quantity that no draw has (a score where nothing is forgotten) has no interval.
    known = np.isfinite(table).any(0)
    table = np.where(known, table, 0.0)
    quantiles = np.nanquantile(table, [0.025, 0.5, 0.975], axis=0)
    low, middle, high = np.where(known, quantiles, math.nan)
    kinds = [
        tuple(
            Interval(float(v) if math.isfinite(v) else None, float(a), float(b))
            for v, a, b in zip(middle[kind], low[kind], high[kind], strict=True)
        )
        for kind in range(3)
    ]
    return EpochsAhead(data.epochs, expected, *kinds)


def _numbers(losses: LossMatrix, seen: int) -> Floats:
    """After, before and score of every further epoch; shape ``(3, count)``."""
    ends = losses.tasks * np.arange(seen + 1, losses.epochs + 1)
    scores = np.full(losses.epochs - seen, math.nan)
    if each_once(losses.order):  # else the n-th visit is in no one epoch
        scores[:] = [s.value for s in recovery_scores(losses)][seen - 1 :]
    return np.array([losses.values[ends].mean(1), online_loss(losses)[seen:], scores])


def _described(
    result: FitResult, order: NDArray[np.int64], draws: int, rng: np.random.Generator
) -> tuple[LossMatrix, list[Floats]]:
    """Expectation and draws from a form that describes, which has no model of what is beyond it."""
    data, problem, block = result.data, result.problem, result.problem.blocks[0]
    whole = result.predict(order=order)
    carried, expected = carry_residuals(data, whole)
    covariance = reduce(problem, result.solution, result.noise).covariance
    _, since = lags(order)
    slope = math.sqrt(3) * (2 * np.minimum(since / data.tasks, 1.0) - 1)  # as large as 1 in the mean square
    beyond = np.maximum((np.arange(len(expected.values)) - len(data.values) + 1) / data.tasks, 0.0)
    misfit, rho = _unexplained(result), result.noise.correlation
    # What is carried on is in the expectation; what is new in an epoch is the rest.
    fresh = result.deviation * math.sqrt((1 - carried**2) * (1 - rho**2))
    found = []
    for theta in rng.multivariate_normal(result.solution.theta, covariance, draws, check_valid="ignore"):
        own = np.clip(theta, problem.low, problem.high)[block.index]
        shapes = result.mechanism.losses(own, order, result.pairs(), drifting=data.epochs)
        if not np.isfinite(shapes).all() or shapes.max() > 1e3:
            continue
        part = project(result.mechanism, block, shapes[: len(data.values)])
        values = (part.floors + part.scales * shapes) * result.unit
        noise = rng.normal(0, fresh, values.shape)
        noise[0] /= math.sqrt(1 - rho**2)
        level, tilt = rng.normal(0, misfit, 2)
        factor = np.exp((level + tilt * slope) * np.sqrt(beyond)[:, None])
        moved = expected.values + values - whole.values  # the draw's departure from the best fit
        found.append(np.maximum(moved * factor + lfilter([1.0], [1.0, -rho], noise, axis=0), 0.0))
    return expected, found


def _unexplained(result: FitResult) -> float:
    """Root mean square relative error of the curves by lag after the last visit that all lags follow."""
    found, guess = lag_curves(result.data), lag_curves(result.prediction)
    rows = [n for n in range(len(found.mean)) if found.count[n].min() > 0]
    last = rows[-2:] if rows else [0]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(found.mean[last] / guess.mean[last])
    half = result.data.tasks // 4  # right after training losses are near 0, and their ratios wild
    errors = ratio[:, half:]
    return float(np.sqrt(np.nanmean(errors[np.isfinite(errors)] ** 2))) if np.isfinite(errors).any() else 0.0
