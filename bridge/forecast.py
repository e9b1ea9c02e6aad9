"""Held-out epochs and documents predicted from fits that never saw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bridge.checks import choose
from bridge.fit import fit
from bridge.mechanism import Mechanism
from bridge.nulls import continuations
from toymodel import InputError, LossMatrix

__all__ = ["Forecast", "forecast", "forecast_jointly", "held_out_documents", "r_squared"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
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


def forecast(losses: LossMatrix, held_out: int = 2, mechanism: Mechanism | None = None) -> Forecast:
    """Fit the first epochs only and predict the last `held_out` ones, drift continued, nothing refitted."""
    return forecast_jointly([losses], held_out, mechanism)[0]


def forecast_jointly(
    runs: Sequence[LossMatrix],
    held_out: int = 2,
    mechanism: Mechanism | None = None,
    shared: Sequence[str] | None = None,
) -> list[Forecast]:
    """The same for several runs fitted jointly: what seeds have in common is known better from all of them.

    Args:
        runs: loss matrices of one shape.
        held_out: epochs at the end that the fit does not see.
        mechanism: the form; the fullest that the losses can bear if None.
        shared: parameters in common; all if None.
    """
    seen = runs[0].epochs - held_out
    if seen < 2:
        reason = (
            f"{runs[0].epochs} epochs leave {seen} to fit after holding out {held_out}; at least 2 are needed"
        )
        return [Forecast(0, None, None, reason=reason)] * len(runs)
    known = [losses.first_epochs(seen) for losses in runs]
    form = mechanism or choose(known[0], known[0].values.size)
    try:
        result = fit(known, form, shared=form.names if shared is None else shared, intervals_by="none")
    except InputError as error:
        reason = f"the first {seen} epochs: {error.problem}"
        return [Forecast(0, None, None, reason=reason)] * len(runs)
    return [
        _judge(losses, part, result.predict(order=losses.order, dataset=number))
        for number, (losses, part) in enumerate(zip(runs, known, strict=True))
    ]


def _judge(losses: LossMatrix, known: LossMatrix, prediction: LossMatrix) -> Forecast:
    seen = known.epochs
    first = 1 + seen * losses.tasks
    truth = losses.values[first:]
    if float(np.ptp(truth)) == 0.0:
        return Forecast(0, None, None, reason="the held-out losses are all equal")
    nulls = {
        name: r_squared(truth, guess) for name, guess in continuations(known, losses.order[seen:]).items()
    }
    return Forecast(seen, prediction, r_squared(truth, prediction.values[first:]), nulls)


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


def r_squared(truth: Floats, guess: Floats) -> float:
    """1 - SSE/SST, SST about the mean of `truth`."""
    return float(1 - ((truth - guess) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
