"""Honest intervals: profiles at a threshold widened for correlated noise, or a reason why there is none.

A profile is read off the objective at a threshold widened by the factor that correlated residuals widen the
covariance by (the adjustment of Chandler & Bate 2007 for misspecified likelihoods). A parameter of which the
data say less than its prior has no interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bridge.estimate.profile import LEVEL, Profiler
from bridge.search.problem import Problem, Solution
from bridge.search.uncertainty import Noise, Reduced, combination, reduce

__all__ = ["Parameter", "intervals"]

Floats = NDArray[np.float64]
# Profiles cost about a hundred evaluations; beyond this many losses one takes half a second.
_MOST_PROFILED = 20_000


@dataclass(frozen=True)
class Parameter:
    """A fitted parameter with its 95% interval, or the reason why it has none.

    Attributes:
        name: as in reports.
        value: in its own units.
        low: lower end of the interval; None where there is none.
        high: upper end.
        reason: why there is no interval; empty where there is one.
        meaning: in words.
        start: where the best search began.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    reason: str = ""
    meaning: str = ""
    start: float = math.nan


def intervals(
    problem: Problem, best: Solution, noise: Noise, names: tuple[str, ...], begin: Floats, by: str
) -> tuple[tuple[Parameter, ...], Reduced, str]:
    """Every parameter with its interval or the reason why it has none, and how intervals were found."""
    reduced = reduce(problem, best, noise)
    if by == "auto":
        by = "profile" if problem.observations <= _MOST_PROFILED else "quadratic"
    profiler = Profiler(problem, best, noise, reduced) if by == "profile" else None
    result = []
    for p, name in enumerate(names):
        term = problem.term(p)
        ends: tuple[float | None, float | None] = (None, None)
        reason = _no_interval(problem, best, reduced, p, names) if by != "none" else "no intervals asked for"
        if not reason:
            error = math.sqrt(reduced.covariance[p, p])
            reach = float(stats.t.ppf((1 + LEVEL) / 2, noise.freedom)) * error
            found = (
                (best.theta[p] - reach, best.theta[p] + reach)
                if profiler is None
                else profiler.ends(p, reach)
            )
            # An end beyond the parameter's range is no end: the interval is open on that side.
            low, high = (max(found[0], problem.low[p]), min(found[1], problem.high[p]))
            if low <= problem.low[p] and high >= problem.high[p]:
                reason = "its interval is wider than its whole range"
            else:
                ends = (term.natural(low), term.natural(high))
        result.append(
            Parameter(name, term.natural(best.theta[p]), *ends, reason, term.meaning, term.natural(begin[p]))
        )
    return tuple(result), reduced, by


def _no_interval(problem: Problem, best: Solution, reduced: Reduced, p: int, names: tuple[str, ...]) -> str:
    """Why a parameter has no interval; empty if it has one."""
    if problem.low[p] == problem.high[p]:
        return "fixed"
    if min(best.theta[p] - problem.low[p], problem.high[p] - best.theta[p]) < 1e-6:
        return "at the edge of its range: the data say only that it is extreme"
    # A small part in a flat direction still leaves most of what is known.
    for row in reduced.flat:
        if row[p] ** 2 > 0.1:
            return f"the data say less than the prior about {combination(row, names)}"
    return ""
