"""Losses from second moments: exact in expectation, free of the dimensions M and N.

In solution coordinates q_i = f_i^{-1}(P x_i) every embedding coordinate obeys the same linear recursion, so
the moment matrix S over u = (q_1..q_T, w) is all that losses need. An episode on task i has the residual
r = q_i - w and moves q_j by -A (G_ij/G_ii) r and w by +B r: a symmetric rank-2 update of S. The losses do not
change when one vector is added to every q_j and w, so data whose similarity is uniform train exactly as
orthogonal data with other shares, and cost O(T) per episode.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError
from toymodel.base.memory import refuse_if_too_large
from toymodel.base.numbers import real, whole
from toymodel.base.words import arg
from toymodel.measures.loss_checks import numbers
from toymodel.measures.losses import LossMatrix, cyclic_order

__all__ = [
    "epoch_operator",
    "expected_losses",
    "expected_moments",
    "losses_of",
    "moment_losses",
    "moments_after",
    "share_losses",
    "shares",
]

Floats = NDArray[np.float64]


def shares(
    slow_step: ArrayLike, fast_rate: ArrayLike = 1.0, inner_steps: ArrayLike = 1
) -> tuple[Floats, Floats]:
    """Slow and fast share (A, B) of an episode of K steps, for affine maps.

    One inner step leaves the fraction g = (1-a)(1-eta) of the residual, so K of them sum geometrically:
    A = a (1-g^K)/(1-g) and B = eta (1-a)(1-g^K)/(1-g), with 1-A-B = g^K left unfitted.

    Args:
        slow_step: a = rate * ||x_i||^2, any shape.
        fast_rate: eta in (0, 1]; broadcast with `slow_step`.
        inner_steps: K >= 1, likewise.
    """
    a, eta = np.asarray(slow_step, dtype=np.float64), np.asarray(fast_rate, dtype=np.float64)
    g = (1 - a) * (1 - eta)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.where(g == 1, np.multiply(inner_steps, 1.0), (1 - g ** np.asarray(inner_steps)) / (1 - g))
    return a * total, eta * (1 - a) * total


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
    from toymodel.kernels import share_kernel

    schedule = as_schedule(order)
    q = np.empty(schedule.shape[1])
    q[...] = variance_q
    out = np.empty((1 + schedule.size, len(q)))
    a, b = per_episode(slow, schedule.shape), per_episode(fast, schedule.shape)
    _judge(share_kernel()(q, variance_w, a, b, schedule.reshape(-1), out), len(q))
    return out


def moment_losses(
    moments: ArrayLike,
    slow: ArrayLike,
    fast: ArrayLike,
    order: ArrayLike,
    *,
    gram: ArrayLike | None = None,
    slopes: ArrayLike | None = None,
    trace: Floats | None = None,
    tasks: int | None = None,
) -> Floats:
    """Losses from initial moments.

    Args:
        moments: S = sum_m u_m u_m^T over u = (q_1..q_T, w), shape ``(T+1, T+1)``; left unchanged.
        slow: slow share A; scalar, ``(E,)`` or ``(E, T)`` (by episode, not by task).
        fast: fast share B, likewise.
        order: task of each episode, shape ``(E, T)``.
        gram: G = X^T X, shape ``(T, T)``; None for orthogonal data. Equal similarity to all other tasks
            (orthogonal data included) is recognised and costs O(T) per episode in place of O(T^2).
        slopes: s_i of the maps f_i(w) = s_i w + y_i, shape ``(T,)``; None where they are all the same. With
            different slopes task i moves q_j by A G_ij/G_ii s_i/s_j.
        trace: takes S before training and after every episode, float64, shape ``(1 + E*T, T+1, T+1)``.
        tasks: return losses of the first so many only (the others are training points of other kinds).

    Returns:
        ``1/2 (S_jj - 2 S_jw + S_ww)`` after every episode, shape ``(1 + E*T, T)``: losses over s_j^2.

    Raises:
        InputError: for moments or a Gram matrix that are misshaped or not finite, and unknown tasks.
    """
    from toymodel.kernels import moment_kernel

    schedule = as_schedule(order)
    S = np.ascontiguousarray(moments, dtype=np.float64)
    count = S.shape[0] - 1
    G = _NONE2 if gram is None else np.ascontiguousarray(gram, dtype=np.float64)
    s = _NONE1 if slopes is None else np.ascontiguousarray(slopes, dtype=np.float64)
    if S.ndim != 2 or S.shape[1] != count + 1 or count < 1:
        _judge(1, count)
    if G is not _NONE2:
        if G.shape != (count, count):
            _judge(2, count)
        if slopes is not None and (s.shape != (count,) or not (np.isfinite(s) & (s != 0)).all()):
            raise InputError(f"slopes {s}", expected=f"{count} numbers other than 0", fix=arg("slopes", None))
    a, b = per_episode(slow, schedule.shape), per_episode(fast, schedule.shape)
    shape = (1 + schedule.size, tasks or count)
    refuse_if_too_large(8 * math.prod(shape), "the loss matrix", "fewer epochs")
    out = np.empty(shape)
    _judge(
        moment_kernel()(S, G, s, a, b, schedule.reshape(-1), out, _NONE3 if trace is None else trace), count
    )
    return out


def moments_after(
    moments: ArrayLike,
    slow: ArrayLike,
    fast: ArrayLike,
    epochs: int,
    *,
    gram: ArrayLike | None = None,
    order: ArrayLike | None = None,
    slopes: ArrayLike | None = None,
) -> Floats:
    """Moments after n epochs of one order without the epochs before: S_n = Phi^n S_0 (Phi^n)^T, O(T^3 log n).

    Args:
        moments: S_0, shape ``(T+1, T+1)``.
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.
        epochs: n >= 0.
        gram: G, shape ``(T, T)``; None for orthogonal data.
        order: tasks of the epoch, shape ``(T,)``; 0..T-1 if None.
        slopes: as in `moment_losses`.
    """
    S = np.asarray(moments, dtype=np.float64)
    if epochs < 0:
        raise InputError(arg("epochs", epochs), expected="0 or more", fix=arg("epochs", 7))
    if S.ndim != 2 or S.shape[0] != S.shape[1] or not np.isfinite(S).all():
        _judge(1, len(S) - 1)
    G = np.eye(len(S) - 1) if gram is None else gram
    phi = np.linalg.matrix_power(epoch_operator(G, slow, fast, order, slopes=slopes), epochs)
    result: Floats = phi @ S @ phi.T
    return result


def losses_of(moments: ArrayLike) -> Floats:
    """``1/2 (S_jj - 2 S_jw + S_ww)`` of moments, shape ``(..., T+1, T+1)``, for every task, ``(..., T)``."""
    S = np.asarray(moments, dtype=np.float64)
    diagonal = np.diagonal(S, axis1=-2, axis2=-1)
    result: Floats = 0.5 * (diagonal[..., :-1] + diagonal[..., -1:]) - S[..., -1, :-1]
    return result


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
    slopes: ArrayLike = 1.0,
    order: ArrayLike | None = None,
) -> LossMatrix:
    """Exact expectation of the whole loss matrix over zero-mean, independent P, y and w, for scalar maps.

    E[S_0] = M (variance_p G_ij + variance_y I_ij) / (s_i s_j) on the q block and M variance_w for w; the
    recursion is linear, so no Monte Carlo is needed. The cost is free of M and N.

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
        slopes: s_i of the maps f_i(w) = s_i w + y_i, scalar or ``(T,)``.
        order: schedule, shape ``(E, T)``; cyclic if None.
    """
    G = numbers(gram, "a Gram matrix").astype(np.float64)
    if G.ndim != 2 or G.shape[0] != G.shape[1] or not np.isfinite(G).all() or (G.diagonal() <= 0).any():
        _judge(2, len(np.atleast_1d(G)))
    tasks = G.shape[0]
    whole("dimension", dimension, least=1, fix=100)
    whole("inner_steps", inner_steps, least=1, fix=1)
    real("rate", rate, least=0, fix=0.001)
    real("fast_rate", fast_rate, least=0)
    for name, variance in (
        ("variance_p", variance_p),
        ("variance_y", variance_y),
        ("variance_w", variance_w),
    ):
        real(name, variance, least=0)
    schedule = cyclic_order(tasks, epochs) if order is None else as_schedule(order)
    s = np.broadcast_to(numbers(slopes, "slopes").astype(np.float64), (tasks,))
    S = expected_moments(G, dimension, variance_p, variance_y, variance_w, s)
    if schedule.min() < 0 or schedule.max() >= tasks:
        _judge(3, tasks)
    a, b = shares(rate * np.diag(G), fast_rate, inner_steps)
    losses = moment_losses(S, a[schedule], b[schedule], schedule, gram=G, slopes=s)
    return LossMatrix(s**2 * losses, schedule)


def expected_moments(
    gram: Floats,
    dimension: int,
    variance_p: float,
    variance_y: float,
    variance_w: float,
    slopes: ArrayLike = 1.0,
) -> Floats:
    """E[S_0] of `expected_losses`, shape ``(T+1, T+1)``."""
    tasks = len(gram)
    s = np.broadcast_to(np.asarray(slopes, dtype=np.float64), (tasks,))
    S = np.zeros((tasks + 1, tasks + 1))
    S[:tasks, :tasks] = dimension * (variance_p * gram + variance_y * np.eye(tasks)) / np.outer(s, s)
    S[tasks, tasks] = dimension * variance_w
    return S


def epoch_operator(
    gram: ArrayLike,
    slow: ArrayLike,
    fast: ArrayLike,
    order: ArrayLike | None = None,
    *,
    slopes: ArrayLike | None = None,
) -> Floats:
    """The linear map of (q_1..q_T, w) that one epoch applies, shape ``(T+1, T+1)``.

    Args:
        gram: G, shape ``(T, T)``.
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.
        order: tasks of the epoch, shape ``(T,)``; 0..T-1 if None.
        slopes: as in `moment_losses`.
    """
    ratio = gram_ratio(gram)
    if slopes is not None:
        s = np.broadcast_to(np.asarray(slopes, dtype=np.float64), (len(ratio),))
        ratio = ratio * np.divide.outer(s, s)
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
    if isinstance(share, float):  # half a microsecond less than the general way
        same = np.empty(shape[0] * shape[1])
        same.fill(share)
        return same
    values = np.asarray(share, dtype=np.float64)
    if values.shape == shape:
        return values.reshape(-1)
    whole = np.empty(shape)
    try:
        whole[...] = values[:, None] if values.ndim == 1 else values
    except ValueError:
        raise InputError(
            f"shares of shape {np.shape(share)} for {shape[0]} epochs of {shape[1]} episodes",
            expected=f"a scalar, shape {(shape[0],)} or shape {shape}",
            fix="give one share per epoch",
        ) from None
    return whole.reshape(-1)


def as_schedule(order: ArrayLike) -> NDArray[np.int64]:
    """An order of tasks, ``(E, T)``, as the contiguous integers that compiled loops read."""
    given = numbers(order, "an order")
    if given.ndim != 2 or given.dtype.kind not in "iu":
        raise InputError(f"an order of {given.dtype} and shape {given.shape}",
                         expected="integers, shape (E, T)", fix="order = cyclic_order(T, E)")  # fmt: skip
    return np.ascontiguousarray(given, dtype=np.int64)


def _judge(code: int, tasks: int) -> None:
    """Turn what a compiled loop found into an error."""
    if code == 0:
        return
    problem, expected, fix = {
        1: ("moments are misshaped, not finite or not symmetric",
            f"finite and symmetric, shape {(tasks + 1, tasks + 1)}",
            "order the variables as (q_1 .. q_T, w)"),
        2: ("the Gram matrix is misshaped, not finite or has a diagonal that is not positive",
            f"G = X^T X, shape {(tasks, tasks)}", "gram=None for orthogonal data"),
        3: ("the order names unknown tasks", f"integers from 0 to {tasks - 1}", "number the tasks from 0"),
    }[code]  # fmt: skip
    raise InputError(problem, expected=expected, fix=fix)


_NONE1, _NONE2, _NONE3 = np.empty(0), np.empty((0, 0)), np.empty((0, 0, 0))
