"""Training as successive over-relaxation: what holds for any order, and the palindrome (docs/theory.md, 11).

An episode on task i does ``e_j <- e_j - C_ij e_i``. With ``e = H y`` for a symmetric H and relaxations
omega_i, ``C_ij = omega_i H_ij / H_ii``, it moves y_i alone, by the part omega_i of the way to the minimum of
``1/2 y^T H y`` along it: coordinate descent on a quadratic, Gauss-Seidel in the paper's model (A + B = 1).
Everything known of that method is therefore known of the toy, in any order of the tasks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError
from toymodel.base.words import arg, args
from toymodel.theory.spectrum import coupling, difference_operator, epoch_order

__all__ = [
    "Relaxation",
    "distance_to_solution",
    "effective_tasks",
    "forgetting_bounds",
    "palindrome",
    "palindrome_spectrum",
    "relaxation",
    "relaxation_limit",
]

Floats = NDArray[np.float64]
# Asymmetry of the coupling that rounding alone explains.
_ROUNDING = 1e-10


@dataclass(frozen=True)
class Relaxation:
    """An episode as a step of successive over-relaxation.

    Attributes:
        matrix: H, symmetric, shape ``(T, T)``, mean diagonal 1.
        omega: relaxations by task, A_i + B_i, shape ``(T,)``.
    """

    matrix: Floats
    omega: Floats

    @property
    def converges(self) -> bool:
        """Whether losses go to 0 in *every* order in which every task keeps coming up (Ostrowski, Reich).

        Exactly if H is positive definite and 0 < omega < 2.
        """
        positive = np.linalg.eigvalsh(self.matrix)[0] > _ROUNDING
        return bool(positive and (self.omega > 0).all() and (self.omega < 2).all())


def relaxation(gram: ArrayLike, slow: ArrayLike, fast: ArrayLike) -> Relaxation:
    """The symmetric H and the relaxations of ``C_ij = omega_i H_ij / H_ii`` (docs/theory.md, section 11).

    For data of equal length and equal shares H is ``(A G/||x||^2 + B 11^T) / (A + B)``. For unequal lengths
    there is one if ``c = B_i ||x_i||^2 / A_i`` is the same for all tasks, ``H = G + c 11^T``, and if each
    task is equally similar to all others. Else, as in the paper's model with data of unequal length, there
    is none, and whether training converges can depend on the order (`toymodel.growth`).

    Args:
        gram: G, shape ``(T, T)``.
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.

    Raises:
        InputError: where there is no such H.
    """
    C = coupling(gram, slow, fast)
    omega = np.diag(C).copy()
    scale = np.ones(len(C))
    # Rows of C times a scale of their own are symmetric; the first row tells the scales.
    if not np.allclose(C, C.T, rtol=0, atol=_ROUNDING * np.abs(C).max()):
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(C[:, 0] != 0, C[0] / C[:, 0], np.nan)
    H = scale[:, None] * C
    fits = np.isfinite(scale).all() and (scale > 0).all()
    if not fits or not np.allclose(H, H.T, rtol=0, atol=_ROUNDING * np.abs(H).max()):
        lengths = np.diag(np.asarray(gram, dtype=np.float64))
        raise InputError(
            f"data of unequal ||x||^2, from {lengths.min():.3g} to {lengths.max():.3g}, or unequal shares",
            expected="equal lengths and shares, or B_i ||x_i||^2 / A_i the same for every task",
            fix="scale the data to one length, or ask growth(gram, slow, fast, order) for one order",
        )
    H = (H + H.T) / 2
    return Relaxation(H / np.abs(np.diag(H)).mean(), omega)


def effective_tasks(gram: ArrayLike) -> float:
    """``S = 1^T R^{-1} 1``, R the cosines of data of equal length: orthogonal tasks with the same limit.

    T for orthogonal data, ``T / (1 + (T-1) rho)`` for uniform similarity rho; infinite where some combination
    of linearly dependent data points does not see the common part (docs/theory.md, section 11).

    Args:
        gram: G, shape ``(T, T)``, of data of equal length.
    """
    C = coupling(gram, 1.0, 0.0)
    if not np.allclose(C, C.T, rtol=0, atol=_ROUNDING):
        raise InputError("data of unequal lengths", expected="one ||x||^2 for all tasks",
                         fix="scale the data, or use rate_limit(gram)")  # fmt: skip
    values, vectors = np.linalg.eigh(C)
    seen = vectors.sum(0) ** 2
    flat = values <= _ROUNDING
    if (seen[flat] > _ROUNDING).any():
        return math.inf
    return float((seen[~flat] / values[~flat]).sum())


def relaxation_limit(gram: ArrayLike, *, fast_rate: float = 1.0) -> float:
    """Largest a = rate ||x||^2 at which data of equal length converge in every order (section 11).

    ``C = A R + B 11^T`` is positive definite for A > 0 and A + B S > 0, S as in `effective_tasks`: section
    6's limits with S in place of T, ``S / (S - 1)`` for the paper's model.

    Args:
        gram: G, shape ``(T, T)``, of data of equal length.
        fast_rate: eta in (0, 1].
    """
    if not 0 < fast_rate <= 1:
        raise InputError(
            arg("fast_rate", fast_rate), expected="0 < fast_rate <= 1", fix=arg("fast_rate", 1.0)
        )
    seen = fast_rate * effective_tasks(gram)
    consensus = seen / (seen - 1) if 1 < seen < math.inf else 1.0 if seen > 1 else math.inf
    return min(consensus, 1 + 1 / (1 - fast_rate) if fast_rate < 1 else math.inf)


def palindrome(order: ArrayLike | None, tasks: int) -> NDArray[np.int64]:
    """An epoch forward and then backward (docs/theory.md, section 11), shape ``(2, T)``.

    Args:
        order: tasks of the forward epoch, shape ``(T,)``; 0..T-1 if None.
        tasks: T.
    """
    forward = epoch_order(order, tasks)
    return np.stack([forward, forward[::-1]])


def palindrome_spectrum(
    gram: ArrayLike, slow: ArrayLike, fast: ArrayLike, order: ArrayLike | None = None
) -> Floats:
    """Eigenvalues of a forward and a backward epoch together: real, 0 or more (docs/theory.md, section 11).

    Each episode is self-adjoint in the energy ``y^T H y``, so that the backward epoch is the adjoint of the
    forward one and the two together are its square: eigenvalues are squared singular values of
    ``L^{-1} Phi L``, H = L L^T. Nothing turns, so there is no helix, and no peak half-way.

    Args:
        gram: G, shape ``(T, T)``.
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.
        order: tasks of the forward epoch, shape ``(T,)``; 0..T-1 if None.

    Returns:
        shape ``(T,)``, largest first; for a *pair* of epochs.

    Raises:
        InputError: where there is no H (see `relaxation`), or it is not positive definite.
    """
    form = relaxation(gram, slow, fast)
    try:
        root = np.linalg.cholesky(form.matrix)
    except np.linalg.LinAlgError:
        raise InputError(
            "a coupling that is not positive definite",
            expected="a rate inside the stability limit and linearly independent data",
            fix="a smaller rate",
        ) from None
    phi = difference_operator(gram, slow, fast, epoch_order(order, len(root)))
    singular: Floats = np.linalg.svd(np.linalg.solve(root, phi @ root), compute_uv=False)
    return singular**2


def distance_to_solution(differences: ArrayLike, matrix: ArrayLike) -> float:
    """Squared distance of the weights from the nearest solution, ``sum_m e_m^T H^{-1} e_m`` (section 11).

    With features of squared length H_ii, and inner products H, the e are residuals of a linear model.

    Args:
        differences: D, shape ``(T, T)`` (see `toymodel.difference_moments`).
        matrix: H, positive definite, shape ``(T, T)``.
    """
    return float(np.trace(np.linalg.solve(np.asarray(matrix), np.asarray(differences))))


def forgetting_bounds(tasks: int, episodes: ArrayLike, dimension: int) -> tuple[Floats, Floats]:
    """Bounds on the mean of e_j^2 under the cyclic order, per unit of `distance_to_solution` (section 11).

    For tasks that are each fitted completely (A + B = 1) and features of length 1 at most: after k episodes
    ``T^2 min(1/sqrt k, d/k)`` (Evron et al., 2022, arXiv 2205.09588), and ``T^2/m`` after m = k/T cycles
    (Swartworth et al., NeurIPS 2023), which is known up to a constant factor; it is drawn with 1.

    Args:
        tasks: T.
        episodes: k, at least 1, any shape.
        dimension: d, of the weights: T at most, as only the span of the features moves.

    Returns:
        Both bounds, each of the shape of `episodes`.
    """
    k = np.asarray(episodes, dtype=np.float64)
    if tasks < 2 or dimension < 1 or not (k >= 1).all():
        raise InputError(
            args(tasks=tasks, dimension=dimension) + f", episodes from {k.min():g}",
            expected="tasks >= 2, dimension >= 1, episodes >= 1",
            fix="forgetting_bounds(25, [25, 50], 25)",
        )
    return tasks**2 * np.minimum(1 / np.sqrt(k), dimension / k), tasks**2 * tasks / k
