"""What enters a fit linearly and is solved for: scales and floors projected out, pairs eliminated.

Scales and floors have no prior: the best ones are found for every shape, and their directions taken out of
residual and derivatives (variable projection, Kaufman's form). Pair correlations have one, so that their
normal equations carry a ridge; their Schur complement is what is left for theta.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from bridge.model.mechanism import Mechanism

__all__ = ["Block", "BlockNormal", "Eliminated", "Pairs", "Projection", "project"]

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

    def reduced(self, derivative: Floats, weight: Floats) -> Floats:
        """Derivatives of the prediction, what scales and floors make up for taken out; shape ``(n, p)``.

        Args:
            derivative: of the shapes, shape ``(1 + E*T, T, p)``.
            weight: of the block.
        """
        columns = derivative.shape[-1]
        scaled = derivative * (self.scales * weight)[:, :, None]
        for direction in self.basis:
            flat = scaled.reshape(*direction.shape, columns)
            flat -= direction[:, :, None] * np.einsum("ng,ngp->gp", direction, flat)
        return scaled.reshape(-1, columns)


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
class Eliminated:
    """What is left for theta once the pairs have answered.

    Attributes:
        hessian: shape ``(p, p)``.
        gradient: shape ``(p,)``.
        step: of the pairs themselves, shape ``(d,)``.
        response: by how much less per unit of theta, shape ``(d, p)``.
    """

    hessian: Floats
    gradient: Floats
    step: Floats
    response: Floats


@dataclass(frozen=True, eq=False)
class Pairs:
    """Response of one matrix's losses to its pair correlations, and their prior.

    Attributes:
        features: F, shape ``(n, d)``; no columns where documents are not correlated.
        ridge: lambda: noise variance over the prior variance of a pair.
    """

    features: Floats
    ridge: float

    @cached_property
    def squares(self) -> Floats:
        """F^T F."""
        return self.features.T @ self.features

    @cached_property
    def _factor(self) -> tuple[Floats, bool]:
        return cho_factor(self.squares + self.ridge * np.eye(len(self.squares)))

    def solve(self, right: Floats, damping: float = 0.0) -> Floats:
        """(F^T F + ridge)^-1 times columns, the curvature F^T F raised by `damping`."""
        if not len(self.squares):
            return np.zeros((0, *right.shape[1:]))
        if damping == 0.0:
            return np.asarray(cho_solve(self._factor, right))
        raised = self.squares + np.diag(damping * np.diag(self.squares) + self.ridge)
        return np.asarray(cho_solve(cho_factor(raised), right))

    def log_determinant(self) -> float:
        """Logarithm of det(F^T F/ridge + 1)."""
        if not len(self.squares):
            return 0.0
        whole = 2 * float(np.log(np.diag(self._factor[0])).sum())
        return whole - len(self.squares) * float(np.log(self.ridge))

    def pull(self, columns: Floats) -> Floats:
        """F^T times columns, in one pass over F and the faster order of the two."""
        return (columns.T @ self.features).T

    def influence(self, jacobian: Floats) -> Floats:
        """(1 - F (F^T F + ridge)^-1 F^T) J: how the losses move with theta while the pairs answer."""
        if not len(self.squares):
            return jacobian
        return np.asarray(jacobian - self.features @ self.solve(self.pull(jacobian)))

    def normal(self, jacobian: Floats, residual: Floats, own: Floats) -> BlockNormal:
        """Normal equations of theta and pairs together.

        Args:
            jacobian: by theta, shape ``(n, p)``.
            residual: shape ``(n,)``.
            own: the pair correlations now, shape ``(d,)``.
        """
        cross = self.pull(np.column_stack([jacobian, residual]))
        cross[:, -1] -= self.ridge * own
        return BlockNormal(jacobian.T @ jacobian, jacobian.T @ residual, cross, self)


@dataclass(frozen=True, eq=False)
class BlockNormal:
    """Normal equations of one matrix, its pair correlations still in them.

    Attributes:
        squares: J^T J, shape ``(p, p)``.
        gradient: J^T r, shape ``(p,)``.
        cross: F^T J and, last, the pairs' own gradient, shape ``(d, p + 1)``.
        pairs: their curvature.
    """

    squares: Floats
    gradient: Floats
    cross: Floats
    pairs: Pairs

    def eliminate(self, damping: float = 0.0) -> Eliminated:
        """The pairs eliminated (Schur complement), every curvature raised by so large a part of itself."""
        damped = self.squares + damping * np.diag(np.diag(self.squares))
        back = self.pairs.solve(self.cross, damping)
        response, step = back[:, :-1], back[:, -1]
        return Eliminated(
            damped - self.cross[:, :-1].T @ response,
            self.gradient - self.cross[:, :-1].T @ step,
            step,
            response,
        )
