"""Penalised least squares with variable projection, for one loss matrix or several at once.

The objective is the residual sum of squares over observed entries, plus sigma^2 times the squared distance
of theta from its priors, plus lambda |D|^2 for the pair correlations. Scales and floors are solved for inside
every evaluation and projected out of the Jacobian (Kaufman's form). Each matrix has its own D, which is
eliminated from the normal equations by its Schur complement, so several matrices cost the sum of each.

A mode over theta and D together is biased: it favours theta at which the losses respond strongly to D. What
is wanted is the mode of theta with D integrated out, which adds sigma^2 log det(F^T F/lambda + 1), F the
response (Laplace's approximation). Its gradient enters as the `tilt`, a constant slope refreshed between
searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.model.mechanism import Mechanism
from bridge.model.terms import Term
from bridge.search.descent import Box, Damped, Point, Stop, descend
from bridge.search.linear import Block, BlockNormal, Pairs, Projection, project

__all__ = ["Problem", "Solution", "Weights"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Weights:
    """How the parts of the objective are weighed against each other.

    Attributes:
        noise: sigma^2, in which the priors of theta count.
        ridge: lambda.
        tilt: slope added to half the objective; none if None.
    """

    noise: float
    ridge: float = 1.0
    tilt: Floats | None = None


@dataclass(frozen=True, eq=False)
class Solution:
    """Where a search ended.

    Attributes:
        theta: joint parameters on the unbounded scale.
        pairs: pair correlations of every matrix (empty arrays without them).
        cost: the objective.
        evaluations: evaluations of the mechanism.
        converged: whether the last step no longer lowered the objective.
    """

    theta: Floats
    pairs: list[Floats]
    cost: float
    evaluations: int
    converged: bool


@dataclass(frozen=True, eq=False)
class Problem:
    """What is minimised.

    Attributes:
        mechanism: the form.
        blocks: the loss matrices.
        low: least theta of the joint vector.
        high: largest.
        centre: prior means.
        width: prior standard deviations.
    """

    mechanism: Mechanism
    blocks: tuple[Block, ...]
    low: Floats
    high: Floats
    centre: Floats
    width: Floats

    @property
    def observations(self) -> int:
        """Observed losses."""
        return int(sum((b.weight > 0).sum() for b in self.blocks))

    def starts(self, count: int, seed: int = 0) -> list[Floats]:
        """Starting points of the joint theta: the mechanism's, every matrix at the same."""
        found = [np.zeros(len(self.low)) for _ in range(count)]
        for begin, local in zip(found, self.mechanism.starts(count, seed), strict=True):
            for block in self.blocks:
                begin[block.index] = local
        return found

    def term(self, p: int) -> Term:
        """What the p-th component of the joint theta is."""
        for block in self.blocks:
            for position, term in zip(block.index, self.mechanism.terms, strict=True):
                if position == p:
                    return term
        raise AssertionError("every component belongs to a matrix")

    def no_pairs(self) -> list[Floats]:
        """Pair correlations of 0."""
        return [np.zeros(b.tasks * (b.tasks - 1) // 2 if self.mechanism.pairs else 0) for b in self.blocks]

    def residuals(self, theta: Floats, pairs: list[Floats]) -> list[Projection]:
        """Projection of every matrix."""
        return [
            project(self.mechanism, b, self.mechanism.losses(theta[b.index], b.order, d if len(d) else None))
            for b, d in zip(self.blocks, pairs, strict=True)
        ]

    def log_determinants(self, theta: Floats, pairs: list[Floats], ridge: float) -> float:
        """Sum of log det(F^T F/lambda + 1) over the matrices."""
        total = 0.0
        for number in range(len(self.blocks)):
            _, features, _ = self.derivatives(theta, pairs, number, jacobian=False)
            total += Pairs(features, ridge).log_determinant()
        return total

    def tilt(self, theta: Floats, pairs: list[Floats], noise: float, ridge: float) -> Floats:
        """Slope of half the objective that integrating the pairs out adds, by forward differences."""
        if not self.mechanism.pairs:
            return np.zeros(len(theta))
        base, slope = self.log_determinants(theta, pairs, ridge), np.zeros(len(theta))
        for p in np.flatnonzero(self.high > self.low):
            step = 1e-4 if theta[p] + 1e-4 <= self.high[p] else -1e-4
            moved = theta.copy()
            moved[p] += step
            slope[p] = (self.log_determinants(moved, pairs, ridge) - base) / step
        return 0.5 * noise * slope

    def prior(self, theta: Floats) -> float:
        """Squared distance from the priors' means, in their widths."""
        return float((((theta - self.centre) / self.width) ** 2).sum())

    def cost(self, theta: Floats, pairs: list[Floats], weights: Weights) -> float:
        """The objective."""
        fit = sum(float((p.residual**2).sum()) for p in self.residuals(theta, pairs))
        slope = 0.0 if weights.tilt is None else 2 * float(weights.tilt @ theta)
        squares = sum(float(d @ d) for d in pairs)
        return fit + weights.noise * self.prior(theta) + weights.ridge * squares + slope

    def derivatives(
        self, theta: Floats, pairs: list[Floats], number: int, *, features: bool = True, jacobian: bool = True
    ) -> tuple[Floats, Floats, Floats]:
        """Projected Jacobian by theta (joint, shape ``(n, p)``) and by pairs, and residual, of one matrix.

        They are the derivatives of the prediction: the residual's have the other sign.
        """
        block, own = self.blocks[number], pairs[number]
        mechanism = self.mechanism
        value = mechanism.evaluate(
            theta[block.index],
            block.order,
            own if len(own) else None,
            jacobian=jacobian,
            features=features and bool(len(own)),
        )
        part = project(mechanism, block, value.shapes)
        by_theta = np.zeros((block.values.size, len(theta)))
        if jacobian:
            by_theta[:, block.index] = part.reduced(np.moveaxis(value.jacobian, 0, -1), block.weight)
        by_pairs = (
            np.zeros((block.values.size, 0))
            if value.features is None
            else part.reduced(value.features, block.weight)
        )
        return by_theta, by_pairs, part.residual.ravel()

    @property
    def box(self) -> Box:
        """Where theta may be."""
        return Box(self.low, self.high)

    def minimise(
        self,
        theta: Floats,
        weights: Weights,
        pairs: list[Floats] | None = None,
        *,
        tolerance: float = 1e-7,
        most: int = 80,
    ) -> Solution:
        """Search downwards inside the box.

        Args:
            theta: start.
            weights: of the objective's parts.
            pairs: start of the pair correlations; 0 if None.
            tolerance: relative fall of the objective below which the search has converged.
            most: evaluations at most.
        """
        start = Point(theta, self.no_pairs() if pairs is None else pairs)
        stop = Stop(fall=tolerance, evaluations=most)
        found = descend(_Penalised(self, weights), start, self.box, stop)
        return Solution(
            found.point.theta, list(found.point.pairs), found.cost, found.evaluations, found.converged
        )


@dataclass(frozen=True, eq=False)
class _Penalised:
    """The objective of a problem at given weights, as `descend` asks for it."""

    problem: Problem
    weights: Weights

    def cost(self, point: Point) -> float:
        return self.problem.cost(point.theta, list(point.pairs), self.weights)

    def normal(self, point: Point) -> _Normal:
        problem, weights = self.problem, self.weights
        blocks = []
        for number, own in enumerate(point.pairs):
            jacobian, features, residual = problem.derivatives(point.theta, list(point.pairs), number)
            blocks.append(Pairs(features, weights.ridge).normal(jacobian, residual, own))
        precision = weights.noise / problem.width**2
        lean = 0.0 if weights.tilt is None else weights.tilt
        return _Normal(precision, -precision * (point.theta - problem.centre) - lean, blocks)


@dataclass(frozen=True, eq=False)
class _Normal:
    """Normal equations of all matrices and of the priors."""

    precision: Floats
    gradient: Floats
    blocks: Sequence[BlockNormal]

    def damped(self, damping: float) -> Damped:
        parts = [block.eliminate(damping) for block in self.blocks]
        return Damped(
            np.diag(self.precision * (1 + damping)) + sum(part.hessian for part in parts),
            self.gradient + sum(part.gradient for part in parts),
            [part.step for part in parts],
            [part.response for part in parts],
        )
