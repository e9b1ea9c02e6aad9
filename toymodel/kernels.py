"""Compiled loops. Nothing here calls a jitted function of another file: cached code would go stale."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = ["moment_kernel", "ring_kernel"]


@functools.cache
def moment_kernel() -> Callable[..., None]:
    """Second moments under any Gram matrix: O(T^2) per episode (see `toymodel.moments.moment_losses`)."""
    import numba

    signature = "void(f8[:,::1], f8[:,::1], f8[::1], f8[::1], i8[::1], f8[:,::1])"
    return numba.njit(signature, cache=True, error_model="numpy")(_moment)


@functools.cache
def ring_kernel() -> Callable[..., None]:
    """The same for orthogonal data, where an episode touches two rows only: O(T) per episode."""
    import numba

    signature = "void(f8[:,::1], f8[::1], f8[::1], i8[::1], f8[:,::1])"
    return numba.njit(signature, cache=True, error_model="numpy")(_ring)


def _moment(S: Any, ratio: Any, slow: Any, fast: Any, order: Any, out: Any) -> None:
    """Advance S in place; ``ratio[i, j] = G_ij / G_ii``; ``out[t, j] = 1/2 E|q_j - w|^2``."""
    tasks = S.shape[0] - 1
    u = S[0].copy()
    v = S[0].copy()
    for j in range(tasks):
        out[0, j] = 0.5 * (S[j, j] - 2.0 * S[j, tasks] + S[tasks, tasks])
    for t in range(order.shape[0]):
        i = order[t]
        for j in range(tasks + 1):
            v[j] = S[j, i] - S[j, tasks]  # covariance with the residual r = q_i - w
        rr = v[i] - v[tasks]
        for j in range(tasks):
            u[j] = -slow[t] * ratio[i, j]
        u[tasks] = fast[t]
        for j in range(tasks + 1):
            for k in range(tasks + 1):
                S[j, k] += u[j] * v[k] + v[j] * u[k] + rr * u[j] * u[k]
        for j in range(tasks):
            out[t + 1, j] = 0.5 * (S[j, j] - 2.0 * S[j, tasks] + S[tasks, tasks])


def _ring(S: Any, slow: Any, fast: Any, order: Any, out: Any) -> None:
    """As `_moment` with ``ratio`` the identity: only rows and columns i and w change."""
    w = S.shape[0] - 1
    v = S[0].copy()
    for j in range(w):
        out[0, j] = 0.5 * (S[j, j] - 2.0 * S[j, w] + S[w, w])
    for t in range(order.shape[0]):
        i = order[t]
        a = -slow[t]
        b = fast[t]
        for j in range(w + 1):
            v[j] = S[j, i] - S[j, w]
        rr = v[i] - v[w]
        for j in range(w):
            if j != i:
                S[i, j] += a * v[j]
                S[j, i] = S[i, j]
                S[w, j] += b * v[j]
                S[j, w] = S[w, j]
        S[i, i] += 2.0 * a * v[i] + rr * a * a
        S[w, w] += 2.0 * b * v[w] + rr * b * b
        S[i, w] += a * v[w] + b * v[i] + rr * a * b
        S[w, i] = S[i, w]
        for j in range(w):
            out[t + 1, j] = 0.5 * (S[j, j] - 2.0 * S[j, w] + S[w, w])
