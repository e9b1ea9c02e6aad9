"""What residuals say of the noise, and the noise of the estimate: sandwich covariance and flat directions.

Neighbouring losses of a document are not independent, so the curvature of the objective alone would promise
too much. Residuals are taken as first-order autoregressive along a document's episodes, independent between
documents; the covariance of the estimate is the sandwich H^-1 B H^-1, with B what such noise, the pair
correlations' own scatter and the priors put into the gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from bridge.search.linear import Pairs
from bridge.search.problem import Problem, Solution, Weights

__all__ = ["Noise", "Reduced", "combination", "correlate", "measure_noise", "reduce"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise model's numbers.

    Attributes:
        variance: of a residual, per degree of freedom.
        correlation: of neighbouring residuals of one document.
        ridge: variance over the variance 1/M of pair correlations.
        pairs_determined: how many pair correlations the data determine (trace of the ridge's hat matrix).
        freedom: losses less parameters.
        used: the weights of the objective that was minimised.
        evidence: twice the negative log likelihood with the pairs integrated out (lower is better).
    """

    variance: float
    correlation: float
    ridge: float
    pairs_determined: float
    freedom: float
    used: Weights = Weights(math.nan)
    evidence: float = math.nan

    @property
    def weights(self) -> Weights:
        """Those of an objective with this noise and the slope of the one that was minimised."""
        return Weights(self.variance, self.ridge, self.used.tilt)

    @property
    def dimension(self) -> float:
        """M of a toy model whose documents are correlated as much by chance; infinity without pairs."""
        return self.ridge / self.variance if self.pairs_determined > 0 else math.inf

    @property
    def inflation(self) -> float:
        """By how much correlation widens the variance of a mean: (1+rho)/(1-rho)."""
        return (1 + self.correlation) / (1 - self.correlation)


@dataclass(frozen=True, eq=False)
class Reduced:
    """What the data say of theta once scales, floors and pairs have taken their part.

    Attributes:
        hessian: of half the objective, priors included, shape ``(p, p)``.
        covariance: sandwich, shape ``(p, p)``.
        correlation: the same, scaled.
        singular: singular values of the Jacobian scaled by prior widths over the (inflated) noise, largest
            first: 1 is a direction of which data and prior know as much.
        directions: its right singular vectors, rows.
    """

    hessian: Floats
    covariance: Floats
    correlation: Floats
    singular: Floats
    directions: Floats

    @property
    def flat(self) -> Floats:
        """Directions, in units of prior widths, of which the data say less than the prior; rows."""
        return self.directions[self.singular < 1.0]

    def flat_words(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Flat directions as combinations of parameters."""
        return tuple(combination(row, names) for row in self.flat)


def combination(row: Floats, names: tuple[str, ...]) -> str:
    """A direction in words, largest parts first; parts below a tenth are left out."""
    row = row * np.sign(row[np.argmax(np.abs(row))])
    kept = sorted((i for i in range(len(row)) if abs(row[i]) > 0.1), key=lambda i: -abs(row[i]))
    return " ".join(f"{row[i]:+.2f} {names[i]}" for i in kept)


def measure_noise(problem: Problem, solution: Solution, used: Weights) -> Noise:
    """Variance, correlation and ridge that the residuals and pair correlations of a solution imply."""
    parts = problem.residuals(solution.theta, solution.pairs)
    total = sum(float((p.residual**2).sum()) for p in parts)
    linear = sum(problem.mechanism.linear_parameters(b.tasks) for b in problem.blocks)
    determined, squares = 0.0, 0.0
    for number, pairs in enumerate(solution.pairs):
        if len(pairs):
            _, features, _ = problem.derivatives(solution.theta, solution.pairs, number)
            values = np.linalg.eigvalsh(features.T @ features)
            determined += float((values / (values + used.ridge)).sum())
            squares += float(pairs @ pairs)
    freedom = max(problem.observations - len(solution.theta) - linear - determined, 1.0)
    found = max(total / freedom, 1e-300)
    before = after = 0.0
    for part, block in zip(parts, problem.blocks, strict=True):
        both = (block.weight[1:] > 0) & (block.weight[:-1] > 0)
        before += float((part.residual[1:] * part.residual[:-1])[both].sum())
        after += float(((part.residual[1:] ** 2 + part.residual[:-1] ** 2) / 2)[both].sum())
    raw = before / after if after > 0 else 0.0
    # Residuals of fitted curves look less correlated than the noise: Marriott & Pope's (1954) correction.
    rows = max(len(block.values) for block in problem.blocks)
    correlation = float(np.clip(raw + (1 + 3 * raw) / rows, 0.0, 0.95))
    # MacKay's fixed point: the variance of the pairs is their square over how many are determined.
    ridge = float(np.clip(found * determined / squares, 1e-6, 1e9 * found)) if squares > 0 else used.ridge
    return Noise(found, correlation, ridge, determined, freedom, used)


def reduce(problem: Problem, solution: Solution, noise: Noise) -> Reduced:
    """Curvature, covariance and flat directions at a solution."""
    size = len(solution.theta)
    precision = noise.variance / problem.width**2
    hessian = np.diag(precision)
    scatter = noise.variance * np.diag(precision)
    rows = []
    for number, block in enumerate(problem.blocks):
        jacobian, features, _ = problem.derivatives(solution.theta, solution.pairs, number)
        # The estimate moves by H^-1 (M J)^T times what it is shown, M what the pairs leave of it.
        influence = Pairs(features, noise.ridge).influence(jacobian)
        through = influence.T @ features
        scatter += (noise.variance / noise.ridge) * (through @ through.T)
        hessian += influence.T @ jacobian
        shaped = influence.reshape(*block.values.shape, size)
        scatter += noise.variance * np.einsum("tjp,tjq->pq", shaped, correlate(shaped, noise.correlation))
        rows.append(influence)
    inverse = np.linalg.pinv(hessian, hermitian=True)
    covariance = inverse @ scatter @ inverse
    error = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = covariance / np.outer(error, error)
    unit = problem.width / math.sqrt(noise.variance * noise.inflation)
    scaled = np.vstack(rows) * unit
    # The singular vectors are those of the small triangle of a QR; its sides are the number of parameters.
    _, singular, directions = np.linalg.svd(np.linalg.qr(scaled, mode="r"))
    return Reduced(hessian, covariance, correlation, singular, directions)


def correlate(columns: Floats, rho: float) -> Floats:
    """Multiply by the correlation matrix rho^|t-s| along the first axis, in O(length)."""
    if rho == 0.0:
        return columns
    forward = lfilter([1.0], [1.0, -rho], columns, axis=0)
    backward = lfilter([1.0], [1.0, -rho], columns[::-1], axis=0)[::-1]
    return np.asarray(forward + backward - columns)
