"""A fit to what documents share, as a result; and the choice of its form."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bridge.estimate.checks import Bounds, check_bounds
from bridge.estimate.choice import FAMILY, Choice, Seen, choose_form
from bridge.estimate.family import fit_posed, with_draws
from bridge.estimate.intervals import Parameter
from bridge.estimate.pose import pose
from bridge.estimate.profile import LEVEL
from bridge.estimate.result import FitResult, Start
from bridge.field.curves import CurveFit
from bridge.model.mechanism import Mechanism
from bridge.search.problem import Problem, Solution, Weights
from bridge.search.uncertainty import combination, measure_noise
from toymodel import LossMatrix

__all__ = ["choose_for", "explain"]

Floats = NDArray[np.float64]


def choose_for(
    matrices: Sequence[LossMatrix],
    masks: Sequence[NDArray[np.bool_]],
    shared: Sequence[str],
    bounds: Bounds,
    unit: float,
) -> Choice:
    """The simplest form of the family that predicts (`bridge.estimate.choice`).

    Args:
        matrices: the data.
        masks: which losses are observed.
        shared: parameters in common, as in `bridge.fit`; forms have those of them that they have.
        bounds: ranges; forms without a bounded parameter are left out.
        unit: the losses are divided by it.

    Raises:
        InputError: for names that no form of the family has.
    """
    family = {name: form for name, form in FAMILY.items() if set(bounds) <= set(form.names)}
    if not family:
        check_bounds(bounds, list(FAMILY.values())[-1])  # which has every name that a form of the family has

    # Departures are much the same whichever form they are departures from, and so are the numbers that forms
    # have in common: a form is searched from where the one before it ended.
    numbers: dict[tuple[tuple[int, ...], ...], tuple[Floats, ...]] = {}
    ends: dict[tuple[tuple[int, ...], ...], dict[str, float]] = {}

    def fitted(form: Mechanism, parts: Sequence[Seen], together: bool) -> CurveFit:
        names = form.names if together else [name for name in form.names if name in shared]
        weights = [part.observed.astype(np.float64) for part in parts]
        problem, joint = pose([part.losses for part in parts], form, names, bounds, weights)
        shapes = tuple(part.losses.values.shape for part in parts)
        known = ends.setdefault(shapes, {})
        usual = problem.starts(1)[0]
        near = np.array([known.get(name, start) for name, start in zip(joint, usual, strict=True)])
        found = fit_posed(problem, begins=[near] if known else (), numbers=numbers.get(shapes))
        numbers[shapes] = found.numbers
        known.update(zip(joint, found.theta.tolist(), strict=True))
        return found

    data = [Seen(LossMatrix(np.where(mask, m.values, 0.0) / unit, m.order), mask)
            for m, mask in zip(matrices, masks, strict=True)]  # fmt: skip
    together = all(set(form.names) <= set(shared) for form in family.values())
    return choose_form(data, fitted, family, runs_too=together)


def explain(
    problem: Problem,
    names: tuple[str, ...],
    matrices: Sequence[LossMatrix],
    unit: float,
    starts: int,
    seed: int,
    with_intervals: bool,
    choice: Choice | None,
    others: Mapping[str, Problem],
    began: float,
) -> FitResult:
    """Fit a form of the family and say what is known of its parameters.

    Args:
        problem: the form, the data and the priors.
        names: of the joint parameters.
        matrices: the data in their own unit.
        unit: that of the problem.
        starts: searches.
        seed: of starting points beyond the first.
        with_intervals: whether parameters get intervals.
        choice: how the form was chosen.
        others: the forms that were not chosen, posed on the same data, by name.
        began: when the fit did, by `time.perf_counter`.
    """
    found = fit_posed(problem, starts, seed)
    if with_intervals:
        found = with_draws(problem, found)
    solution = Solution(found.theta, problem.no_pairs(), found.cost, found.evaluations, found.converged)
    noise = measure_noise(problem, solution, Weights(found.matrices[0].departures.deviation ** 2))
    values, directions = np.linalg.eigh(found.information)
    flat = directions.T[values < 1.0]
    error = np.sqrt(np.diag(found.covariance))
    begin = found.searches[0][0]
    parameters = tuple(
        _parameter(problem, p, name, found, float(error[p]), float(begin[p]), flat, names, with_intervals)
        for p, name in enumerate(names)
    )
    return FitResult(
        mechanism=problem.mechanism,
        datasets=tuple(matrices),
        unit=unit,
        problem=problem,
        solution=solution,
        noise=noise,
        parameters=parameters,
        correlation=found.covariance / np.outer(error, error),
        flat_directions=tuple(combination(row, names) for row in flat),
        starts=tuple(Start(a, b, cost, True) for a, b, cost in found.searches),
        evaluations=found.evaluations,
        intervals_by=("quadratic" if found.draws is None else "posterior") if with_intervals else "none",
        seconds=time.perf_counter() - began,
        curves=found,
        choice=choice,
        others=others,
    )


def _parameter(
    problem: Problem,
    p: int,
    name: str,
    found: CurveFit,
    error: float,
    begin: float,
    flat: Floats,
    names: tuple[str, ...],
    with_intervals: bool,
) -> Parameter:
    term, best, box = problem.term(p), float(found.theta[p]), problem.box
    value, start = term.natural(best), term.natural(begin)

    def without(reason: str) -> Parameter:
        return Parameter(name, value, reason=reason, meaning=term.meaning, start=start)

    if not with_intervals:
        return without("no intervals asked for")
    if box.low[p] == box.high[p]:
        return without("fixed")
    if min(best - box.low[p], box.high[p] - best) < 1e-6:
        return without("at the edge of its range: the data say only that it is extreme")
    for row in flat:
        if row[p] ** 2 > 0.5:
            return without(f"the data say less than the prior about {combination(row, names)}")
    if found.draws is None:
        reach = float(stats.norm.ppf((1 + LEVEL) / 2)) * error
        low, high = max(best - reach, float(box.low[p])), min(best + reach, float(box.high[p]))
    else:
        low, high = (found.draws.quantile(p, level) for level in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Parameter(name, value, term.natural(low), term.natural(high), "", term.meaning, start)
