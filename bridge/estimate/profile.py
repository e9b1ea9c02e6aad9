"""Profiles: the objective as a function of one parameter, all others at their best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import root_scalar

from bridge.field.curves import CurveFit
from bridge.search.descent import Damped, Damping, Point, Stop, descend
from bridge.search.linear import Pairs
from bridge.search.problem import Problem, Solution
from bridge.search.uncertainty import Noise, Reduced

__all__ = ["LEVEL", "Profile", "Profiler", "curve_profile"]

Floats = NDArray[np.float64]
LEVEL = 0.95
# A profile starts next to the optimum: bold steps, and few of them.
_BOLD = Damping(start=1e-4, rise=30.0, fall=10.0, most=1e3)


@dataclass(frozen=True, eq=False)
class Profile:
    """A parameter's profile.

    Attributes:
        name: of the parameter.
        values: in its own units, increasing.
        deviance: rise of the objective over its minimum in units of the noise, widened for correlated
            residuals; 3.84 is the 95% point.
    """

    name: str
    values: Floats
    deviance: Floats


class Profiler:
    """Profiles around one solution.

    Pair correlations answer a move of theta linearly over the reach of an interval, so their features are
    kept from the optimum; everything else is the exact nonlinear model.
    """

    def __init__(self, problem: Problem, best: Solution, noise: Noise, reduced: Reduced) -> None:
        self.problem, self.best, self.noise, self.reduced = problem, best, noise, reduced
        pairs = [
            Pairs(problem.derivatives(best.theta, best.pairs, number)[1], noise.ridge)
            for number in range(len(problem.blocks))
        ]
        self.objective = _Profiled(problem, noise, pairs)
        self.point = Point(best.theta, best.pairs)
        self.least = self.objective.cost(self.point)

    def deviance(self, p: int, value: float, theta: Floats, most: int = 11) -> tuple[float, Floats]:
        """Adjusted rise of the objective with component p held at `value`, and where the others went."""
        start = Point(theta.copy(), self.point.pairs)
        start.theta[p] = value
        box = self.problem.box.held(p, value)
        stop = Stop(by=0.02 * self.noise.variance, evaluations=most)
        found = descend(self.objective, start, box, stop, _BOLD, longest=1.0)
        inverse = np.linalg.pinv(self.reduced.hessian, hermitian=True)
        wider = self.reduced.covariance[p, p] / (self.noise.variance * inverse[p, p])
        rise = (found.cost - self.least) / (self.noise.variance * max(wider, 1e-12))
        return rise, found.point.theta

    def ends(self, p: int, reach: float) -> tuple[float, float]:
        """The 95% interval of component p, searched from the quadratic guess `reach` outwards."""
        return self._end(p, -reach, self.problem.low[p]), self._end(p, reach, self.problem.high[p])

    def _end(self, p: int, reach: float, edge: float) -> float:
        """Where the deviance passes its threshold on one side, or the edge if it does not before."""
        centre = float(self.best.theta[p])
        along = self.reduced.covariance[:, p] / self.reduced.covariance[p, p]
        target = float(stats.t.ppf((1 + LEVEL) / 2, self.noise.freedom))
        theta = self.best.theta
        known = {0.0: -target}

        def excess(distance: float) -> float:
            # The root of the deviance is near to linear in the distance.
            nonlocal theta
            if distance not in known:
                guess = self.problem.box.clip(theta + along * (distance - (theta[p] - centre)))
                value, theta = self.deviance(p, centre + distance, guess)
                known[distance] = math.sqrt(max(value, 0.0)) - target
            return known[distance]

        limit = float(edge) - centre
        inner, outer = 0.0, reach if abs(reach) < abs(limit) else limit
        while excess(outer) < 0:
            if outer == limit:
                return float(edge)
            rise = 1.1 * target / max(target + known[outer], 0.1)
            inner, outer = outer, outer * min(max(rise, 1.1), 2.5)
            outer = outer if abs(outer) < abs(limit) else limit
        if excess(outer) < 0.07:
            return centre + outer
        found = root_scalar(excess, bracket=(inner, outer), method="brentq", xtol=0.03 * abs(outer - inner))
        return centre + float(found.root)


@dataclass(frozen=True, eq=False)
class _Profiled:
    """The objective with the pairs at their best for every theta."""

    problem: Problem
    noise: Noise
    pairs: Sequence[Pairs]

    @property
    def _lean(self) -> Floats:
        tilt = self.noise.used.tilt
        return np.zeros(len(self.problem.low)) if tilt is None else tilt

    def cost(self, point: Point) -> float:
        theta, ridge = point.theta, self.noise.ridge
        total = self.noise.variance * self.problem.prior(theta) + 2 * float(self._lean @ theta)
        parts = self.problem.residuals(theta, list(point.pairs))
        for part, own, pairs in zip(parts, point.pairs, self.pairs, strict=True):
            residual = part.residual.ravel()
            pull = pairs.pull(residual) - ridge * own
            total += float(residual @ residual) + ridge * float(own @ own) - float(pull @ pairs.solve(pull))
        return total

    def normal(self, point: Point) -> _Normal:
        theta = point.theta
        precision = self.noise.variance / self.problem.width**2
        hessian, gradient = np.diag(precision), -precision * (theta - self.problem.centre) - self._lean
        for number, (own, pairs) in enumerate(zip(point.pairs, self.pairs, strict=True)):
            jacobian, _, residual = self.problem.derivatives(theta, list(point.pairs), number, features=False)
            left = pairs.normal(jacobian, residual, own).eliminate()
            hessian, gradient = hessian + left.hessian, gradient + left.gradient
        return _Normal(hessian, gradient)


@dataclass(frozen=True, eq=False)
class _Normal:
    hessian: Floats
    gradient: Floats

    def damped(self, damping: float) -> Damped:
        return Damped(self.hessian + damping * np.diag(np.diag(self.hessian)), self.gradient)


def curve_profile(fit: CurveFit, p: int, name: str, points: int) -> Profile:
    """The same for a fit to what documents share: twice the fall of its log likelihood, priors included."""
    term = {
        int(i): t for m in fit.matrices for i, t in zip(m.matrix.index, fit.mechanism.terms, strict=True)
    }[p]
    box, best = fit.prior.box, float(fit.theta[p])
    reach = 3 * math.sqrt(float(fit.covariance[p, p]))
    least, result = fit.curves.cost(Point(fit.theta, ())), {best: 0.0}
    for end in (max(best - reach, box.low[p]), min(best + reach, box.high[p])):
        theta = fit.theta.copy()
        for value in np.linspace(best, end, points // 2 + 1)[1:]:
            theta[p] = value
            found = descend(
                fit.curves, Point(theta, ()), box.held(p, float(value)), Stop(by=1e-3, evaluations=40)
            )
            theta = found.point.theta.copy()
            result[float(value)] = max(found.cost - least, 0.0)
    places = sorted(result)
    return Profile(name, np.array([term.natural(v) for v in places]), np.array([result[v] for v in places]))
