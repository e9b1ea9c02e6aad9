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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from bridge.model.mechanism import Mechanism

__all__ = ["Block", "Problem", "Solution", "project"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Block:
    """One loss matrix of a fit.

    Attributes:
        values: losses, shape ``(1 + E*T, T)``; those of weight 0 may be anything finite.
        order: shape ``(E, T)``.
        weight: what every residual is multiplied by, shape ``(1 + E*T, T)``: 0 where a loss is missing or
            held out, 1 where it counts once.
        index: which components of the joint theta are this matrix's own theta, shape ``(p,)``.
    """

    values: Floats
    order: NDArray[np.int64]
    weight: Floats
    index: NDArray[np.int64]

    @property
    def tasks(self) -> int:
        """Number of documents T."""
        return int(self.values.shape[1])


@dataclass(frozen=True, eq=False)
class Projection:
    """Scales and floors that fit best, the residual, and what they span.

    Attributes:
        scales: k_j, shape ``(T,)``.
        floors: c_j, shape ``(T,)``.
        residual: weighted losses less prediction.
        basis: orthonormal directions of each group (documents, or all), shape ``(n, ...)`` each.
    """

    scales: Floats
    floors: Floats
    residual: Floats
    basis: list[Floats]


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


def project(mechanism: Mechanism, block: Block, shapes: Floats) -> Projection:
    """Solve for scales and floors, neither below 0, given the shapes."""
    grouped = (lambda a: a) if mechanism.scale == "document" else (lambda a: a.reshape(-1, 1))
    seen = grouped(block.weight)
    h, y = grouped(shapes) * seen, grouped(block.values) * seen
    hh, hy = (h * h).sum(0), (h * y).sum(0)
    # A document that is held out altogether has the scale of the others.
    unseen = hh <= 1e-300
    scales = np.maximum(hy / np.where(unseen, 1.0, hh), 0.0)
    floors = np.zeros_like(scales)
    if mechanism.floor:
        n, h1, y1 = (seen * seen).sum(0), (h * seen).sum(0), (y * seen).sum(0)
        det = hh * n - h1 * h1
        good = det > 1e-12 * hh * n
        safe = np.where(good, det, 1.0)
        floor, scale = (hh * y1 - h1 * hy) / safe, (n * hy - h1 * y1) / safe
        inside = good & (floor > 0) & (scale > 0)
        floors, scales = np.where(inside, floor, 0.0), np.where(inside, scale, scales)
    if unseen.any() and not unseen.all():
        scales[unseen], floors[unseen] = scales[~unseen].mean(), floors[~unseen].mean()
    residual = y - (floors * seen + scales * h)
    first = h / np.sqrt(np.where(unseen, 1.0, hh))
    basis = [first]
    if mechanism.floor:
        rest = seen - first * (first * seen).sum(0)
        size = (rest * rest).sum(0)
        keep = (floors > 0) & (size > 0)
        basis.append(np.where(keep, rest / np.sqrt(np.where(keep, size, 1.0)), 0.0))
    ones = np.ones(block.tasks)
    return Projection(scales * ones, floors * ones, residual.reshape(block.values.shape), basis)


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
            _, F, _ = self.derivatives(theta, pairs, number, jacobian=False)
            if F.shape[1]:
                factor, _ = cho_factor(F.T @ F / ridge + np.eye(F.shape[1]))
                total += 2 * float(np.log(np.diag(factor)).sum())
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

    def cost(
        self, theta: Floats, pairs: list[Floats], noise: float, ridge: float, tilt: Floats | None = None
    ) -> float:
        """The objective; noise is sigma^2, ridge lambda."""
        fit = sum(float((p.residual**2).sum()) for p in self.residuals(theta, pairs))
        prior = float((((theta - self.centre) / self.width) ** 2).sum())
        slope = 0.0 if tilt is None else 2 * float(tilt @ theta)
        return fit + noise * prior + ridge * sum(float(d @ d) for d in pairs) + slope

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
        weight = (part.scales * block.weight)[:, :, None]

        def reduced(derivative: Floats) -> Floats:
            columns = derivative.shape[-1]
            scaled = derivative * weight
            for direction in part.basis:
                flat = scaled.reshape(*direction.shape, columns)
                flat -= direction[:, :, None] * np.einsum("ng,ngp->gp", direction, flat)
            return scaled.reshape(-1, columns)

        by_theta = np.zeros((block.values.size, len(theta)))
        if jacobian:
            by_theta[:, block.index] = reduced(np.moveaxis(value.jacobian, 0, -1))
        by_pairs = np.zeros((block.values.size, 0)) if value.features is None else reduced(value.features)
        return by_theta, by_pairs, part.residual.ravel()

    def minimise(
        self,
        theta: Floats,
        pairs: list[Floats] | None = None,
        *,
        noise: float,
        ridge: float = 1.0,
        tilt: Floats | None = None,
        tolerance: float = 1e-7,
        most: int = 80,
    ) -> Solution:
        """Levenberg-Marquardt inside the box.

        Args:
            theta: start.
            pairs: start of the pair correlations; 0 if None.
            noise: sigma^2, in which the priors of theta are weighed.
            ridge: lambda.
            tilt: slope added to half the objective; 0 if None.
            tolerance: relative fall of the objective below which the search has converged.
            most: evaluations at most.
        """
        theta = np.clip(theta, self.low, self.high)
        own = self.no_pairs() if pairs is None else pairs
        lean = np.zeros(len(theta)) if tilt is None else tilt
        precision = noise / self.width**2
        cost, used, damping = self.cost(theta, own, noise, ridge, lean), 1, 1e-3
        while used < most:
            normal = [_Normal(*self.derivatives(theta, own, n), own[n], ridge) for n in range(len(own))]
            used += 1
            while True:
                hessian = np.diag(precision * (1 + damping))
                gradient = -precision * (theta - self.centre) - lean
                eliminated = [n.eliminate(damping) for n in normal]
                for h, g, _ in eliminated:
                    hessian += h
                    gradient += g
                inward = ~(((theta <= self.low) & (gradient < 0)) | ((theta >= self.high) & (gradient > 0)))
                active = np.flatnonzero(inward & (self.high > self.low))
                step = np.zeros(len(theta))
                step[active] = np.linalg.solve(hessian[np.ix_(active, active)], gradient[active])
                # Longer steps leave the region where the link and the logits are anywhere near linear.
                trial = np.clip(theta + np.clip(step, -1.5, 1.5), self.low, self.high)
                moved = [
                    d + back[:, -1] - back[:, :-1] @ (trial - theta) if len(d) else d
                    for d, (_, _, back) in zip(own, eliminated, strict=True)
                ]
                value = self.cost(trial, moved, noise, ridge, lean)
                used += 1
                if np.isfinite(value) and value < cost:
                    break
                damping *= 5
                if damping > 1e6 or used >= most:
                    return Solution(theta, own, cost, used, damping > 1e6)
            fell = (cost - value) / max(abs(cost), 1e-300)
            theta, own, cost = trial, moved, value
            damping = max(damping / 5, 1e-8)
            if fell < tolerance:
                return Solution(theta, own, cost, used, True)
        return Solution(theta, own, cost, used, False)


class _Normal:
    """Normal equations of one matrix, its pair correlations still in them."""

    def __init__(self, J: Floats, F: Floats, r: Floats, pairs: Floats, ridge: float) -> None:
        self.JJ, self.Jr = J.T @ J, J.T @ r
        self.FF, self.FJ, self.Fr = F.T @ F, F.T @ J, F.T @ r - ridge * pairs
        self.ridge = ridge

    def eliminate(self, damping: float) -> tuple[Floats, Floats, Floats]:
        """Damped Hessian and gradient by theta, and the pairs' response to theta beside their own step."""
        damped = self.JJ + damping * np.diag(np.diag(self.JJ))
        if not len(self.FF):
            return damped, self.Jr, np.zeros((0, len(self.Jr) + 1))
        inner = self.FF + np.diag(damping * np.diag(self.FF) + self.ridge)
        back = cho_solve(cho_factor(inner), np.column_stack([self.FJ, self.Fr]))
        return damped - self.FJ.T @ back[:, :-1], self.Jr - self.FJ.T @ back[:, -1], back
