"""Whole experiments drawn in distribution, in O(T^3) whatever M and N are: P is never formed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError
from toymodel.base.words import arg

__all__ = ["random_gram", "sample_moments"]

Floats = NDArray[np.float64]


def random_gram(tasks: int, dimension: int, *, seed: int | np.random.Generator = 0) -> Floats:
    """G = X^T X of the paper's data, x ~ U(-1, 1), shape ``(T, T)``."""
    x = np.random.default_rng(seed).uniform(-1, 1, (tasks, dimension))
    return x @ x.T


def sample_moments(
    gram: ArrayLike,
    dimension: int,
    *,
    variance_p: float,
    variance_w: float,
    variance_y: float = 0.0,
    slopes: ArrayLike = 1.0,
    seed: int | np.random.Generator = 0,
    uniform_w: bool = False,
) -> Floats:
    """Draw the initial moments S_0 of an experiment with scalar maps f_i(w) = s_i w + y_i.

    With Gaussian P and y the M rows of (q_1..q_T) are independent and normal with covariance
    C_ij = (variance_p G_ij + variance_y I_ij) / (s_i s_j), so their moments follow a Wishart distribution
    with M degrees of freedom, drawn by Bartlett's triangular factor. The q are isotropic in the embedding
    space, so w enters through its length alone, whatever its distribution.

    Args:
        gram: G, shape ``(T, T)``.
        dimension: M.
        variance_p: variance of the (Gaussian) entries of P.
        variance_w: variance of the entries of w.
        variance_y: variance of the (Gaussian) entries of the targets.
        slopes: s_i, scalar or ``(T,)``.
        seed: an integer or a generator, which advances.
        uniform_w: entries of w are uniform (the paper's), not Gaussian.

    Returns:
        S_0 over (q_1..q_T, w), shape ``(T+1, T+1)``, exactly as a simulation with those weights would have
        it.

    Raises:
        InputError: for a Gram matrix that is none, or negative variances.
    """
    G = np.asarray(gram, dtype=np.float64)
    if G.ndim != 2 or G.shape[0] != G.shape[1] or not np.isfinite(G).all():
        raise InputError(f"gram of shape {G.shape}", expected="finite, (T, T)", fix="gram=x @ x.T")
    if min(variance_p, variance_w, variance_y) < 0 or dimension < 1:
        raise InputError(
            f"variances {variance_p}, {variance_w}, {variance_y} with M={dimension}",
            expected="variances of 0 or more and M of 1 or more", fix=arg("variance_p", 1e-6),
        )  # fmt: skip
    rng = np.random.default_rng(seed)
    tasks = len(G)
    s = np.broadcast_to(np.asarray(slopes, dtype=np.float64), (tasks,))
    root = _root((variance_p * G + variance_y * np.eye(tasks)) / np.outer(s, s))
    squared = 3 * np.square(rng.uniform(-1, 1, dimension)).sum() if uniform_w else rng.chisquare(dimension)
    length = np.sqrt(variance_w * squared)
    if dimension <= tasks:
        along, across = rng.normal(size=tasks), rng.normal(size=(dimension - 1, tasks))
    else:
        # Bartlett: row i of the factor of the part across w has i normals and a chi with M-1-i degrees.
        along, across = rng.normal(size=tasks), np.tril(rng.normal(size=(tasks, tasks)), -1).T
        np.fill_diagonal(across, np.sqrt(rng.chisquare(dimension - 1 - np.arange(tasks))))
    # In a basis that begins with w: coordinates along it, then all others.
    rows = np.empty((1 + len(across), tasks + 1))
    rows[0, :tasks], rows[1:, :tasks] = root @ along, across @ root.T
    rows[0, tasks], rows[1:, tasks] = length, 0.0
    return rows.T @ rows


def _root(covariance: Floats) -> Floats:
    """A matrix R with R R^T = C; by eigenvectors where C is singular."""
    root: Floats
    try:
        root = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        if values[0] < -1e-9 * max(values[-1], 0.0):
            raise InputError(
                f"the Gram matrix has eigenvalue {values[0]:.3g}",
                expected="positive semidefinite",
                fix="gram=x @ x.T",
            ) from None
        root = np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)), dtype=np.float64)
    return root
