"""Held-out epochs and documents predicted from fits that never saw them.

A forecast is the expectation given the epochs that the fit saw: the mechanism's losses, and of every
document's departure what the fitted covariance carries on (`FitResult.expected`). Where no form is given all
forms of the family take part, each with the weight that those epochs give it: nothing of what is held out has
a part in it.

Forms that describe every loss have no such covariance. For them the residual of an entry is taken as
first-order autoregressive over epochs; only orders that repeat have entries that come again. Their shares
stay what they were in the last epoch seen (`FitResult.predict`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bridge.estimate.choice import FAMILY
from bridge.estimate.fit import fit
from bridge.estimate.result import FitResult
from bridge.judge.nulls import continuations
from bridge.model.mechanism import Mechanism
from toymodel import InputError, LossMatrix
from toymodel.base.words import arg
from toymodel.measures.agreement import r_squared
from toymodel.measures.losses import takes_losses

__all__ = ["Forecast", "carry_residuals", "forecast", "forecast_jointly", "held_out_documents"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Forecast:
    """Held-out epochs predicted from a fit to the ones before.

    Attributes:
        fitted_epochs: epochs the fit saw; 0 where there was no forecast.
        prediction: predicted losses of the whole run; None where there was no forecast.
        r2: over held-out entries, 1 - SSE/SST about their own mean; None where there was no forecast.
        carried: part of a departure that comes again an epoch later, estimated on the epochs seen.
        r2_mechanism: R^2 of the mechanism alone, nothing carried.
        nulls: the same for curves that know no mechanism.
        reason: why there is no forecast.
        weights: of the forms that took part, the largest first.
    """

    fitted_epochs: int
    prediction: LossMatrix | None
    r2: float | None
    carried: float = 0.0
    r2_mechanism: float | None = None
    nulls: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    weights: dict[str, float] = field(default_factory=dict)


@takes_losses
def forecast(
    losses: LossMatrix,
    held_out: int = 2,
    mechanism: Mechanism | None = None,
    observed: NDArray[np.bool_] | None = None,
) -> Forecast:
    """Fit the first epochs only and predict the last `held_out` ones with nothing refitted.

    Args:
        losses: one run.
        held_out: epochs at the end that the fit does not see.
        mechanism: the form; all of the family, weighed within the epochs seen, if None.
        observed: which losses are known, to be fitted and to be judged by; all if None.
    """
    return forecast_jointly([losses], held_out, mechanism, observed=None if observed is None else [observed])[
        0
    ]


def forecast_jointly(
    runs: Sequence[LossMatrix],
    held_out: int = 2,
    mechanism: Mechanism | None = None,
    shared: Sequence[str] | None = None,
    observed: Sequence[NDArray[np.bool_]] | None = None,
) -> list[Forecast]:
    """The same for several runs fitted jointly: what seeds have in common is known better from all of them.

    Args:
        runs: loss matrices of one shape.
        held_out: epochs at the end that the fit does not see.
        mechanism: the form; all of the family, weighed within the epochs seen, if None.
        shared: parameters in common; all if None.
        observed: which losses are known, for each run; all if None.
    """
    if held_out < 1:
        raise InputError(arg("held_out", held_out), expected="at least 1 epoch", fix=arg("held_out", 2))
    seen = runs[0].epochs - held_out
    if seen < 2:
        reason = (
            f"{runs[0].epochs} epochs leave {seen} to fit after holding out {held_out}; at least 2 are needed"
        )
        return [Forecast(0, None, None, reason=reason)] * len(runs)
    known = [losses.first_epochs(seen) for losses in runs]
    masks = [np.ones(losses.values.shape, bool) for losses in runs] if observed is None else observed
    given = (
        None if observed is None else [mask[: len(k.values)] for mask, k in zip(masks, known, strict=True)]
    )
    every = sorted({name for form in FAMILY.values() for name in form.names})
    common = every if mechanism is None else mechanism.names
    try:
        result = fit(known, mechanism, shared=common if shared is None else shared, observed=given,
                     intervals_by="none")  # fmt: skip
    except InputError as error:
        reason = f"the first {seen} epochs: {error.problem}"
        return [Forecast(0, None, None, reason=reason)] * len(runs)
    return [
        _judge(losses, part, result, number, mask)
        for number, (losses, part, mask) in enumerate(zip(runs, known, masks, strict=True))
    ]


def _judge(
    losses: LossMatrix, known: LossMatrix, result: FitResult, number: int, observed: NDArray[np.bool_]
) -> Forecast:
    seen, order = known.epochs, losses.order
    first = 1 + seen * losses.tasks
    there = observed[first:]
    truth = losses.values[first:][there]
    if not truth.size or float(np.ptp(truth)) == 0.0:
        return Forecast(
            0, None, None, reason=f"the held-out losses are all {'equal' if truth.size else 'missing'}"
        )
    nulls = {
        name: r_squared(truth, guess[there])
        for name, guess in continuations(known, losses.order[seen:]).items()
    }
    if result.departures is None:
        prediction = result.predict(order=order, dataset=number)
        carried, with_residuals = carry_residuals(known, prediction)
    else:
        carried, prediction = result.departures.carried, result.expected(order, number, anew=True)
        later = result.expected(order, number).values[first:]
        with_residuals = LossMatrix(np.concatenate([prediction.values[:first], later]), order)
    alone, whole = (r_squared(truth, p.values[first:][there]) for p in (prediction, with_residuals))
    members = sorted(result.family, key=lambda member: -member.weight)
    weights = {member.name: member.weight for member in members}
    return Forecast(seen, with_residuals, whole, carried, alone, nulls, weights=weights)


def carry_residuals(known: LossMatrix, prediction: LossMatrix) -> tuple[float, LossMatrix]:
    """Add to later epochs what is left of the last known epoch's residuals.

    Args:
        known: the epochs seen, at least 2.
        prediction: the mechanism's losses of these and the later epochs.

    Returns:
        The part of a residual that comes again in the next epoch (least squares of the last epoch's residuals
        on those before, from 0 to 1), and the prediction with them. Epochs in another order than the last
        known one take none, because their entries have no counterpart; nothing falls below 0.
    """
    seen, tasks = known.epochs, known.tasks
    residual = (known.values - prediction.values[: len(known.values)])[1:].reshape(seen, tasks, tasks)
    before, last = residual[-2], residual[-1]
    unit = float(np.abs(before).max()) or 1.0  # in which every square is a number
    size = float(((before / unit) ** 2).sum())
    repeated = size > 0 and bool((known.order[-2] == known.order[-1]).all())
    part = float(np.clip((before / unit * (last / unit)).sum() / size, 0.0, 1.0)) if repeated else 0.0
    values = np.array(prediction.values)
    left = last
    for epoch in range(seen, prediction.epochs):
        left = part * left
        if (prediction.order[epoch] == known.order[-1]).all():
            rows = slice(1 + epoch * tasks, 1 + (epoch + 1) * tasks)
            values[rows] = np.maximum(values[rows] + left, 0.0)
    return part, LossMatrix(values, prediction.order)


def held_out_documents(losses: LossMatrix, mechanism: Mechanism | None = None, every: int = 5) -> float:
    """R^2 of the losses of every fifth document, predicted from a fit to the others.

    A document without data has the mean of the others' scales and no pair correlations: what is tested is
    that its course follows from its place in the order.
    """
    hidden = np.arange(losses.tasks) % every == every // 2
    observed = np.ones(losses.values.shape, dtype=bool)
    observed[:, hidden] = False
    result = fit(losses, mechanism, observed=observed, intervals_by="none")
    return r_squared(losses.values[:, hidden], result.prediction.values[:, hidden])
