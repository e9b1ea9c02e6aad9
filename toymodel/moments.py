"""Losses from second moments: exact in expectation, free of the dimensions M and N.

In solution coordinates q_i = f_i^{-1}(P x_i) every embedding coordinate obeys the same linear recursion, so
the moment matrix S over u = (q_1..q_T, w) is all that losses need. An episode on task i has the residual
r = q_i - w and moves q_j by -A (G_ij/G_ii) r and w by +B r: a symmetric rank-2 update of S.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.errors import InputError
from toymodel.losses import LossMatrix, cyclic_order

__all__ = ["epoch_operator", "expected_losses", "moment_losses", "share_losses", "shares"]

Floats = NDArray[np.float64]


def shares(slow_step: ArrayLike, fast_rate: float = 1.0, inner_steps: int = 1) -> tuple[Floats, Floats]:
    """Slow and fast share (A, B) of an episode of K steps, for affine maps.

    One inner step leaves the fraction g = (1-a)(1-eta) of the residual, so K of them sum geometrically:
    A = a (1-g^K)/(1-g) and B = eta (1-a)(1-g^K)/(1-g), with 1-A-B = g^K left unfitted.

    Args:
        slow_step: a = rate * ||x_i||^2, any shape.
        fast_rate: eta in (0, 1].
        inner_steps: K >= 1.
    """
    a = np.asarray(slow_step, dtype=np.float64)
    g = (1 - a) * (1 - fast_rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.where(g == 1, float(inner_steps), (1 - g**inner_steps) / (1 - g))
    return a * total, fast_rate * (1 - a) * total


def share_losses(
    slow: ArrayLike,
    fast: ArrayLike,
    order: ArrayLike,
    *,
    variance_q: ArrayLike = 1.0,
    variance_w: float = 0.0,
) -> Floats:
    """Expected losses per embedding dimension for orthogonal data, given the shares.

    Args:
        slow: slow share A; scalar, per epoch ``(E,)`` or per episode ``(E, T)``.
        fast: fast share B, likewise.
        order: task of each episode, shape ``(E, T)``.
        variance_q: initial variance of each q_i, scalar or ``(T,)``.
        variance_w: initial variance of w.

    Returns:
        ``1/2 E (q_j - w)^2``, shape ``(1 + E*T, T)``.
    """
    order = np.ascontiguousarray(order, dtype=np.int64)
    tasks = order.shape[1]
    S = np.zeros((tasks + 1, tasks + 1))
    S[np.arange(tasks), np.arange(tasks)] = variance_q
    S[tasks, tasks] = variance_w
    return moment_losses(S, slow, fast, order)


def moment_losses(
    moments: ArrayLike, slow: ArrayLike, fast: ArrayLike, order: ArrayLike, *, gram: ArrayLike | None = None
) -> Floats:
    """Losses from initial moments.

    Args:
        moments: S = sum_m u_m u_m^T over u = (q_1..q_T, w), shape ``(T+1, T+1)``; left unchanged.
        slow: slow share A; scalar, ``(E,)`` or ``(E, T)`` (by episode, not by task).
        fast: fast share B, likewise.
        order: task of each episode, shape ``(E, T)``.
        gram: G = X^T X, shape ``(T, T)``; None for orthogonal data.

    Returns:
        ``1/2 (S_jj - 2 S_jw + S_ww)`` after every episode, shape ``(1 + E*T, T)``.
    """
    from toymodel.kernels import moment_kernel, ring_kernel

    # Copied: the compiled loops take writable arrays only, and a LossMatrix's order is read-only.
    schedule = np.array(order, dtype=np.int64, order="C")
    tasks = schedule.shape[1]
    S = np.array(moments, dtype=np.float64, order="C")
    if S.shape != (tasks + 1, tasks + 1) or not np.isfinite(S).all():
        raise InputError(
            f"moments of shape {S.shape} for {tasks} tasks",
            expected=f"finite values of shape {(tasks + 1, tasks + 1)}",
            fix="order the variables as (q_1 .. q_T, w)",
        )
    a, b = per_episode(slow, schedule.shape), per_episode(fast, schedule.shape)
    out = np.empty((1 + schedule.size, tasks))
    if gram is None:
        ring_kernel()(S, a, b, schedule.ravel(), out)
    else:
        moment_kernel()(S, gram_ratio(gram), a, b, schedule.ravel(), out)
    return out


def expected_losses(
    gram: ArrayLike,
    *,
    dimension: int,
    rate: float,
    epochs: int,
    inner_steps: int = 1,
    fast_rate: float = 1.0,
    variance_p: float = 0.0,
    variance_y: float = 0.0,
    variance_w: float = 0.0,
    order: ArrayLike | None = None,
) -> LossMatrix:
    """Exact expectation of the whole loss matrix over zero-mean, independent P, y and w (slope s^2 = 1).

    E[S_0] = M (variance_p G + variance_y I) on the q block and M variance_w for w; the recursion is linear,
    so no Monte Carlo is needed.

    Args:
        gram: G = X^T X, shape ``(T, T)``.
        dimension: M.
        rate: learning rate alpha of the slow weights.
        epochs: E.
        inner_steps: K.
        fast_rate: eta.
        variance_p: variance of the entries of P.
        variance_y: variance of the entries of the targets (0 for identity maps).
        variance_w: variance of the entries of w.
        order: schedule, shape ``(E, T)``; cyclic if None.
    """
    G = np.asarray(gram, dtype=np.float64)
    tasks = G.shape[0]
    schedule = cyclic_order(tasks, epochs) if order is None else np.asarray(order)
    S = np.zeros((tasks + 1, tasks + 1))
    S[:tasks, :tasks] = dimension * (variance_p * G + variance_y * np.eye(tasks))
    S[tasks, tasks] = dimension * variance_w
    a, b = shares(rate * np.diag(G), fast_rate, inner_steps)
    return LossMatrix(moment_losses(S, a[schedule], b[schedule], schedule, gram=G), schedule)


def epoch_operator(
    gram: ArrayLike, slow: ArrayLike, fast: ArrayLike, order: ArrayLike | None = None
) -> Floats:
    """The linear map of (q_1..q_T, w) that one epoch applies, shape ``(T+1, T+1)``.

    Args:
        gram: G, shape ``(T, T)``.
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.
        order: tasks of the epoch, shape ``(T,)``; 0..T-1 if None.
    """
    ratio = gram_ratio(gram)
    tasks = ratio.shape[0]
    a, b = np.broadcast_to(slow, tasks), np.broadcast_to(fast, tasks)
    phi = np.eye(tasks + 1)
    for i in range(tasks) if order is None else np.asarray(order):
        residual = phi[i] - phi[tasks]
        phi[:tasks] -= a[i] * np.outer(ratio[i], residual)
        phi[tasks] += b[i] * residual
    return phi


def gram_ratio(gram: ArrayLike) -> Floats:
    """``G_ij / G_ii``, shape ``(T, T)``, contiguous."""
    G = np.asarray(gram, dtype=np.float64)
    return np.ascontiguousarray(G / np.diag(G)[:, None])


def per_episode(share: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """A share given as a scalar, by epoch or by episode, as one value per episode, shape ``(E*T,)``."""
    values = np.asarray(share, dtype=np.float64)
    if values.ndim == 1:
        values = values[:, None]
    try:
        whole = np.broadcast_to(values, shape)
    except ValueError:
        raise InputError(
            f"shares of shape {np.shape(share)} for {shape[0]} epochs of {shape[1]} episodes",
            expected=f"a scalar, shape {(shape[0],)} or shape {shape}",
            fix="give one share per epoch",
        ) from None
    return np.array(whole.ravel(), order="C")
