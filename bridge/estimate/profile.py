"""Profiles: the objective as a function of one parameter, all others at their best."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.linalg import cho_factor, cho_solve

if TYPE_CHECKING:
    from bridge.estimate.intervals import Noise, Reduced
    from bridge.estimate.problem import Problem, Solution

__all__ = ["Profile", "Profiler"]

Floats = NDArray[np.float64]


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
        self.lean = np.zeros(len(best.theta)) if noise.tilt is None else noise.tilt
        self.inner, self.features = [], []
        for number in range(len(problem.blocks)):
            _, F, _ = problem.derivatives(best.theta, best.pairs, number)
            self.features.append(F)
            self.inner.append(cho_factor(F.T @ F + noise.ridge * np.eye(F.shape[1])) if F.shape[1] else None)
        self.least = self._objective(best.theta)

    def _objective(self, theta: Floats) -> float:
        total = self.noise.variance * float((((theta - self.problem.centre) / self.problem.width) ** 2).sum())
        parts = self.problem.residuals(theta, self.best.pairs)
        for part, own, F, inner in zip(parts, self.best.pairs, self.features, self.inner, strict=True):
            r = part.residual.ravel()
            total += float(r @ r)
            if inner is not None:
                pull = F.T @ r - self.noise.ridge * own
                total += self.noise.ridge * float(own @ own) - float(pull @ cho_solve(inner, pull))
        return total

    def _gradient(self, theta: Floats) -> tuple[Floats, Floats]:
        """Gauss-Newton gradient and Hessian of half the objective."""
        precision = self.noise.variance / self.problem.width**2
        hessian, gradient = np.diag(precision), -precision * (theta - self.problem.centre) - self.lean
        for number, (own, F, inner) in enumerate(
            zip(self.best.pairs, self.features, self.inner, strict=True)
        ):
            J, _, r = self.problem.derivatives(theta, self.best.pairs, number, features=False)
            hessian += J.T @ J
            gradient += J.T @ r
            if inner is not None:
                both = (np.column_stack([J, r]).T @ F).T  # one pass over F, and the faster order of the two
                both[:, -1] -= self.noise.ridge * own
                back = cho_solve(inner, both)
                hessian -= both[:, :-1].T @ back[:, :-1]
                gradient -= both[:, :-1].T @ back[:, -1]
        return gradient, hessian

    def deviance(self, p: int, value: float, theta: Floats, most: int = 5) -> tuple[float, Floats]:
        """Adjusted rise of the objective with component p held at `value`, and where the others went."""
        problem = self.problem
        theta = theta.copy()
        theta[p] = value
        others = np.flatnonzero(np.arange(len(theta)) != p)
        cost = self._objective(theta)
        damping = 1e-4
        for _ in range(most):
            gradient, hessian = self._gradient(theta)
            inward = ~(((theta <= problem.low) & (gradient < 0)) | ((theta >= problem.high) & (gradient > 0)))
            active = others[inward[others]]
            damped = hessian + damping * np.diag(np.diag(hessian))
            step = np.zeros(len(theta))
            step[active] = np.linalg.solve(damped[np.ix_(active, active)], gradient[active])
            trial = np.clip(theta + np.clip(step, -1.0, 1.0), problem.low, problem.high)
            new = self._objective(trial)
            if new < cost:
                fell = cost - new
                theta, cost = trial, new
                damping = max(damping / 10, 1e-8)
                if fell < 0.02 * self.noise.variance:
                    break
            else:
                damping *= 30
                if damping > 1e3:
                    break
        inverse = np.linalg.pinv(self.reduced.hessian, hermitian=True)
        wider = self.reduced.covariance[p, p] / (self.noise.variance * inverse[p, p])
        return (cost - self.least) / (self.noise.variance * max(wider, 1e-12)), theta

    def ends(self, p: int, reach: float) -> tuple[float, float]:
        """The 95% interval of component p, from the quadratic guess `reach` outwards by secants."""
        target = float(stats.t.ppf(0.975, self.noise.freedom)) ** 2
        along = self.reduced.covariance[:, p] / self.reduced.covariance[p, p]
        found = []
        for sign, edge in ((-1.0, self.problem.low[p]), (1.0, self.problem.high[p])):
            distance, known = reach, [(0.0, 0.0)]
            theta = self.best.theta
            for _ in range(4):
                limit = abs(edge - self.best.theta[p])
                at_edge = distance >= limit
                distance = min(distance, limit)
                guess = np.clip(theta + along * (sign * distance - (theta[p] - self.best.theta[p])),
                                self.problem.low, self.problem.high)  # fmt: skip
                value, theta = self.deviance(p, self.best.theta[p] + sign * distance, guess)
                # The root of the deviance is near to linear in the distance.
                root = math.sqrt(max(value, 0.0))
                known.append((distance, root))
                if abs(root - math.sqrt(target)) < 0.07 or (at_edge and value < target):
                    break
                known.sort()
                inside = [k for k in known if k[1] < math.sqrt(target)]
                outside = [k for k in known if k[1] >= math.sqrt(target)]
                a = inside[-1] if inside else (0.0, 0.0)
                if outside:
                    b = outside[0]
                    distance = a[0] + (b[0] - a[0]) * (math.sqrt(target) - a[1]) / (b[1] - a[1])
                else:
                    distance = a[0] * min(max(math.sqrt(target) / max(a[1], 0.1), 1.1), 2.5)
            found.append(self.best.theta[p] + sign * distance)
        return found[0], found[1]
