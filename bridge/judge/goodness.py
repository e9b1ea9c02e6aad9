"""How good a fit is: R^2 in several senses, and a table of forms and nulls by information criteria."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bridge.estimate.checks import check_data, check_size, unknowns
from bridge.estimate.fit import search
from bridge.estimate.pose import pose
from bridge.estimate.result import FitResult
from bridge.judge.curves import means_by_visit_and_lag
from bridge.judge.nulls import NULLS
from bridge.model.mechanism import MOST_PAIRED, Mechanism
from bridge.search.linear import project
from toymodel import InputError, LossMatrix, RecoveryScore, recovery_scores, shift_averaged
from toymodel.measures.agreement import r_squared
from toymodel.measures.lag import lags

__all__ = ["Candidate", "Goodness", "family", "goodness", "noisy_recovery", "residuals_by_lag", "table"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Goodness:
    """R^2 in several senses.

    Attributes:
        all: over all losses.
        shift_averaged: on the shift-averaged curve, lags that every document reaches.
        recovery_error: median over epochs of the recovery score's absolute error; None without scores.
    """

    all: float
    shift_averaged: float
    recovery_error: float | None


def goodness(result: FitResult) -> Goodness:
    """R^2 of the (first) matrix over all losses and on the shift-averaged curve, and the scores' error."""
    return compare_losses(result.data, result.prediction)


def compare_losses(data: LossMatrix, guess: LossMatrix) -> Goodness:
    """The same for any two loss matrices of one order."""
    measured, predicted = shift_averaged(data), shift_averaged(guess)
    whole = measured.count == measured.count.max()
    pairs = zip(recovery_scores(data), recovery_scores(guess), strict=True)
    errors = [abs(a.value - b.value) for a, b in pairs if a and b]
    return Goodness(
        r_squared(data.values, guess.values),
        r_squared(measured.mean[whole], predicted.mean[whole]),
        float(np.median(errors)) if errors else None,
    )


def noisy_recovery(result: FitResult) -> list[RecoveryScore]:
    """Recovery scores of the prediction with the documents' own departures in it.

    A score takes the largest loss of each document's interval, and the largest of losses that depart from a
    curve is above the curve's own. So a network's score is to be compared with this one: its losses with what
    documents share (the mean by visit and lag) replaced by the mechanism's, all else as it was found.
    """
    data, guess = result.data, result.prediction
    residual = data.values - guess.values
    visits, since = lags(data.order)
    mean, count = means_by_visit_and_lag(data.order, residual)
    own = residual - mean[visits, since]
    # A mean takes its share of every departure with it; where it is of one, nothing is known of that one.
    seen = count[visits, since]
    own = own * np.sqrt(seen / np.maximum(seen - 1, 1))
    return recovery_scores(LossMatrix(guess.values + own, data.order))


def residuals_by_lag(data: LossMatrix, guess: LossMatrix) -> tuple[Floats, Floats]:
    """Mean and root mean square of measured less predicted, by visits so far and episodes since the last.

    Returns:
        Two arrays of shape ``(most visits + 1, longest lag + 1)``; NaN where there is no loss.
    """
    residual = data.values - guess.values
    unit = _unit(residual)
    mean, _ = means_by_visit_and_lag(data.order, residual)
    square, _ = means_by_visit_and_lag(data.order, (residual / unit) ** 2)
    return mean, unit * np.sqrt(square)


@dataclass(frozen=True)
class Candidate:
    """A form of the mechanism, or a null, judged on one matrix.

    Attributes:
        name: which.
        parameters: free numbers, pairs counted by how many the data determine.
        r2: over all losses.
        shift_averaged: R^2 of the shift-averaged curve.
        recovery_error: median error of the recovery scores; None where one side has none.
        aic: Akaike's criterion under autoregressive noise, less the table's least.
        bic: Schwarz's, likewise.
    """

    name: str
    parameters: float
    r2: float
    shift_averaged: float
    recovery_error: float | None
    aic: float
    bic: float


def family(tasks: int) -> dict[str, Mechanism]:
    """Forms from the paper's model's nearest relative to the fullest, for so many documents."""
    plain = Mechanism(channels=1, drift="none", link="linear", nearness=False, pairs=False, scale="common")
    forms = {
        "constant shares, one scale": plain,
        "+ scale per document": (plain := replace(plain, scale="document")),
        "+ floor per document": replace(plain, floor=True),
        "+ drift by epoch": (plain := replace(plain, drift="epoch")),
        "+ saturating link": replace(plain, link="saturating"),
        "+ power link": (plain := replace(plain, link="power")),
        "+ drift with the loss instead": replace(plain, drift="loss"),
        "+ nearness": (plain := replace(plain, nearness=True)),
        "+ second channel": (plain := replace(plain, channels=2)),
    }
    if 6 <= tasks <= MOST_PAIRED:
        forms["+ correlated documents"] = replace(plain, pairs=True)
        forms["+ floor per document, all"] = replace(plain, pairs=True, floor=True)
    return forms


def table(losses: LossMatrix) -> list[Candidate]:
    """The family and the nulls by AIC and BIC, in the family's order; forms too rich for the data left out.

    The likelihood is that of first-order autoregressive noise along each document's episodes, its coefficient
    fitted for each candidate: independent noise would make every added parameter look certain.
    """
    rows: list[tuple[str, Floats, float]] = []
    for name, form in family(losses.tasks).items():
        try:
            values, pairs = _least_squares(losses, form)
        except InputError:
            continue
        rows.append((name, values, unknowns(form, losses.tasks) + pairs))
    for build in NULLS:
        null = build(losses)
        rows.append((f"null: {null.name}", null.values, null.parameters))
    judged = []
    for name, values, parameters in rows:
        likelihood = log_likelihood(losses.values - values)
        count = parameters + 2  # variance and correlation of the noise
        whole = compare_losses(losses, LossMatrix(values, losses.order))
        judged.append(
            Candidate(name, parameters, whole.all, whole.shift_averaged, whole.recovery_error,
                      2 * count - 2 * likelihood, count * math.log(losses.values.size) - 2 * likelihood)
        )  # fmt: skip
    aic, bic = min(c.aic for c in judged), min(c.bic for c in judged)
    return [replace(c, aic=c.aic - aic, bic=c.bic - bic) for c in judged]


def _least_squares(losses: LossMatrix, form: Mechanism) -> tuple[Floats, float]:
    """A form fitted to every loss, as all of the table are, and how many pair correlations are determined.

    A fit takes forms that explain to what documents share, where least squares over all losses has no say.

    Raises:
        InputError: for a form too rich for the data.
    """
    everything = np.ones(losses.values.shape)
    check_data([losses], [everything > 0])
    check_size(form, losses, losses.values.size)
    unit = float(np.abs(losses.values).max())
    problem, _ = pose([losses], form, (), {}, [everything], unit)
    with threadpool_limits(1, user_api="blas"):
        best, noise, _, _ = search(problem, 3, 0)
    block = problem.blocks[0]
    shapes = form.losses(best.theta[block.index], block.order, best.pairs[0] if form.pairs else None)
    part = project(form, block, shapes)
    return (part.floors + part.scales * shapes) * unit, noise.pairs_determined


def log_likelihood(residual: Floats) -> float:
    """Gaussian first-order autoregressive log likelihood, variance and coefficient fitted."""
    unit = _unit(residual)
    residual = residual / unit
    before, after = residual[:-1], residual[1:]
    rho = float(np.clip((before * after).sum() / max(float((before**2).sum()), 1e-300), -0.99, 0.99))
    squares = ((after - rho * before) ** 2).sum() + (1 - rho**2) * (residual[0] ** 2).sum()
    n = residual.size
    variance = max(float(squares) / n, 1e-300)
    start = 0.5 * residual.shape[1] * math.log(1 - rho**2)
    return start - 0.5 * n * (math.log(2 * math.pi * variance) + 1) - n * math.log(unit)


def _unit(residual: Floats) -> float:
    """A unit in which every square is a number, whatever that of the losses is."""
    return float(np.abs(residual).max()) or 1.0
