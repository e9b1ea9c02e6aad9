"""Loops over second moments, and sweeps of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types

from toymodel.base.compiled import compiled
from toymodel.kernels.signatures import CUBE, MATRIX, ORDER, READ1, READ2, read_only

__all__ = ["measure", "moment_kernel", "share_kernel", "sweep_kernel"]

_inner = numba.njit(cache=True, error_model="numpy")


@_inner
def positive(loss: float) -> float:
    """A loss that rounding took below 0 is 0; NaN stays."""
    return 0.0 if loss < 0.0 else loss


@_inner
def ring(S: Any, slow: Any, fast: Any, order: Any, out: Any) -> None:
    """Moments of orthogonal data, where an episode changes rows i and w only: O(T) per episode.

    Advances S in place; ``out[t, j] = 1/2 E|q_j - w|^2`` for the first ``out.shape[1]`` tasks.
    """
    tasks = S.shape[0] - 1
    shown = out.shape[1]
    half_diagonal = np.empty(tasks)
    c = np.empty(tasks)  # covariances with w
    ww = S[tasks, tasks]
    for j in range(tasks):
        half_diagonal[j] = 0.5 * S[j, j]
        c[j] = S[j, tasks]
    for j in range(shown):
        out[0, j] = positive(half_diagonal[j] + 0.5 * ww - c[j])
    for t in range(order.shape[0]):
        i = order[t]
        a = -slow[t]
        b = fast[t]
        vi = 2.0 * half_diagonal[i] - c[i]  # covariances of the residual r = q_i - w with q_i and w
        vw = c[i] - ww
        rr = vi - vw
        di = half_diagonal[i] + a * vi + 0.5 * rr * a * a
        ci = c[i] + a * vw + b * vi + rr * a * b
        ww += 2.0 * b * vw + rr * b * b
        half = 0.5 * ww
        for j in range(shown):
            v = S[i, j] - c[j]
            S[i, j] += a * v
            c[j] += b * v
            out[t + 1, j] = positive(half_diagonal[j] + half - c[j])
        for j in range(shown, tasks):
            v = S[i, j] - c[j]
            S[i, j] += a * v
            c[j] += b * v
        half_diagonal[i] = di
        c[i] = ci
        S[i, i] = 2.0 * di
        if i < shown:
            out[t + 1, i] = positive(di + half - ci)
        for j in range(tasks):
            S[j, i] = S[i, j]
    for j in range(tasks):
        S[j, tasks] = c[j]
        S[tasks, j] = c[j]
    S[tasks, tasks] = ww


@_inner
def dense(S0: Any, ratio: Any, slow: Any, fast: Any, order: Any, out: Any, trace: Any) -> None:
    """Moments under any Gram matrix: O(T^2) per episode.

    ``ratio[i, j]`` is the part of task i's slow step that reaches q_j (1 for j = i). Only the lower half is
    kept; rows are padded so that the innermost loop always runs over whole vector registers. ``trace`` takes
    the whole matrix after every episode, if it has room.
    """
    size = S0.shape[0]
    w = size - 1
    shown = out.shape[1]
    S = np.zeros((size, (size + 7) // 8 * 8))
    u = np.zeros(S.shape[1])
    p = np.zeros(S.shape[1])
    for j in range(size):
        for k in range(j + 1):
            S[j, k] = S0[j, k]
    for t in range(order.shape[0] + 1):
        if t > 0:
            i = order[t - 1]
            for j in range(i + 1):
                p[j] = S[i, j] - S[w, j]
            for j in range(i + 1, size):
                p[j] = S[j, i] - S[w, j]
            # S += u v^T + v u^T + rr u u^T with v = Cov(u, r): half of rr u goes into each v.
            half = 0.5 * (p[i] - p[w])
            a = -slow[t - 1]
            for j in range(w):
                u[j] = a * ratio[i, j]
            u[w] = fast[t - 1]
            for j in range(size):
                p[j] += half * u[j]
            for j in range(size):
                x = u[j]
                y = p[j]
                for k in range((j + 8) // 8 * 8):
                    S[j, k] += x * p[k] + y * u[k]
        for j in range(shown):
            out[t, j] = positive(0.5 * (S[j, j] + S[w, w]) - S[w, j])
        if trace.shape[0] > 0:
            for j in range(size):
                for k in range(j + 1):
                    trace[t, j, k] = S[j, k]
                    trace[t, k, j] = S[j, k]


@_inner
def reach(gram: Any, slope: Any, i: int, j: int) -> float:
    """The part of task i's slow step that reaches q_j; 1 for j = i."""
    part = gram[i, j] / gram[i, i]
    return part * (slope[i] / slope[j]) if slope.shape[0] > 0 else part


@_inner
def similarity(gram: Any, slope: Any, h: Any) -> bool:
    """Whether each task reaches all others equally; h_i is then how far."""
    tasks = gram.shape[0]
    for i in range(tasks):
        other = 1 if i == 0 else 0
        h[i] = reach(gram, slope, i, other)
        equal = True
        if slope.shape[0] > 0:
            for j in range(tasks):
                equal &= j == i or abs(reach(gram, slope, i, j) - h[i]) <= 4e-16
        else:  # the same without a division for every pair
            least = 4e-16 * gram[i, i]
            for j in range(tasks):
                equal &= j == i or abs(gram[i, j] - gram[i, other]) <= least
        if not equal:
            return False
    return True


@_inner
def fault(S: Any, gram: Any, order: Any) -> int:
    """What makes these inputs unusable: 0 nothing, 1 moments, 2 Gram matrix, 3 order."""
    tasks = S.shape[0] - 1
    for j in range(tasks + 1):
        for k in range(j + 1):
            # A single comparison is false for NaN too; moments must be symmetric.
            if not abs(S[j, k] - S[k, j]) <= 1e-9 * (1.0 + abs(S[j, k])) < np.inf:
                return 1
    for i in range(gram.shape[0]):
        if not 0.0 < gram[i, i] < np.inf:
            return 2
        for j in range(tasks):
            if not abs(gram[i, j]) < np.inf:
                return 2
    for t in range(order.shape[0]):
        if order[t] < 0 or order[t] >= tasks:
            return 3
    return 0


def _moment(S: Any, gram: Any, slope: Any, slow: Any, fast: Any, order: Any, out: Any, trace: Any) -> int:
    """Moments from a Gram matrix and the tasks' slopes, in O(T) per episode where the gauge allows it.

    An empty Gram matrix stands for orthogonal data. Returns what `fault` finds; 0 when all went well.
    """
    found = fault(S, gram, order)
    if found != 0:
        return found
    tasks = S.shape[0] - 1
    plain = gram.shape[0] == 0
    h = np.zeros(tasks)
    if trace.shape[0] == 0 and (plain or similarity(gram, slope, h)):
        # The gauge: uniform similarity h is orthogonal data with A (1 - h) and B + A h.
        a = np.empty(order.shape[0])
        b = np.empty(order.shape[0])
        for t in range(order.shape[0]):
            a[t] = slow[t] * (1.0 - h[order[t]])
            b[t] = fast[t] + slow[t] * h[order[t]]
        ring(S.copy(), a, b, order, out)
    else:
        ratio = np.eye(tasks)
        for i in range(gram.shape[0]):
            for j in range(tasks):
                if j != i:
                    ratio[i, j] = reach(gram, slope, i, j)
        dense(S, ratio, slow, fast, order, out, trace)
    return 0


def _share(variance_q: Any, variance_w: float, slow: Any, fast: Any, order: Any, out: Any) -> int:
    """The ring from independent initial q and w; returns what `fault` finds."""
    tasks = variance_q.shape[0]
    S = np.zeros((tasks + 1, tasks + 1))
    for j in range(tasks):
        S[j, j] = variance_q[j]
    S[tasks, tasks] = variance_w
    found = fault(S, S[:0], order)
    if found == 0:
        ring(S, slow, fast, order, out)
    return found


@_inner
def measure(losses: Any, order: Any, recovery: Any, peaks: Any) -> None:
    """Recovery scores (eq. 1, as `toymodel.recovery_scores`) and peaks of the first task, by interval."""
    tasks = losses.shape[1]
    most = max(recovery.shape[0], peaks.shape[0])
    visits = np.zeros(tasks, np.int64)
    after, peak = np.zeros(tasks), np.zeros(tasks)
    sums = np.zeros((most, 4))  # after, peak, before, count
    for n in range(peaks.shape[0]):
        peaks[n] = np.nan
    for t in range(order.shape[0]):
        i = order[t]
        n = visits[i] - 1
        if 0 <= n < most:
            sums[n, 0] += after[i]
            sums[n, 1] += peak[i]
            sums[n, 2] += losses[t, i]
            sums[n, 3] += 1.0
            if i == 0 and n < peaks.shape[0]:
                peaks[n] = peak[0]
        visits[i] += 1
        for j in range(tasks):
            peak[j] = max(peak[j], losses[t + 1, j])
        after[i] = losses[t + 1, i]
        peak[i] = after[i]
    start = losses[0].max()
    for n in range(recovery.shape[0]):
        recovery[n] = np.nan
        if sums[n, 3] > 0:
            low, high, last = sums[n, 0] / sums[n, 3], sums[n, 1] / sums[n, 3], sums[n, 2] / sums[n, 3]
            # Losses carry rounding of their own size, and of the size of those before training.
            clear = high > 1.4e-14 * start and high - low > 1.8e-15 * max(abs(high), abs(low))
            if clear and last >= low:
                recovery[n] = (high - last) / (high - low)


def _sweep(
    tasks: Any,
    slow: Any,
    fast: Any,
    variance: Any,
    moments: Any,
    gram: Any,
    order: Any,
    epochs: int,
    recovery: Any,
    peaks: Any,
    final: Any,
    whole: Any,
) -> None:
    """Experiments one after the other, none of which depends on another.

    ``variance[p]``: of q along the Gram matrix, of q itself, of w, and the factor of the losses. ``moments``
    replaces them, if it has room; an empty Gram matrix stands for orthogonal data and an empty order for the
    cyclic one. Outputs without room are skipped; tasks that a point does not have stay NaN.
    """
    ratio = np.empty_like(gram)
    for i in range(gram.shape[0]):
        for j in range(gram.shape[0]):
            ratio[i, j] = gram[i, j] / gram[i, i]
    none = np.empty((0, 0, 0))
    for p in range(tasks.shape[0]):
        T = tasks[p]
        S = np.zeros((T + 1, T + 1))
        for j in range(T):
            for k in range(gram.shape[0]):
                S[j, k] = variance[p, 0] * gram[j, k]
            S[j, j] += variance[p, 1]
        S[T, T] = variance[p, 2]
        if moments.shape[0] > 0:
            for j in range(T + 1):
                for k in range(T + 1):
                    S[j, k] = moments[p, j, k]
        episodes = np.empty(epochs * T, np.int64)
        a, b = np.empty(epochs * T), np.empty(epochs * T)
        for t in range(epochs * T):
            episodes[t] = order[t] if order.shape[0] > 0 else t % T
            a[t] = slow[p, episodes[t]]
            b[t] = fast[p, episodes[t]]
        out = np.empty((1 + epochs * T, T))
        if gram.shape[0] > 0:
            dense(S, ratio, a, b, episodes, out, none)
        else:
            ring(S, a, b, episodes, out)
        out *= variance[p, 3]
        one = p if recovery.shape[0] > 0 else 0
        two = p if peaks.shape[0] > 0 else 0
        measure(out, episodes, recovery[one : one + 1].reshape(-1), peaks[two : two + 1].reshape(-1))
        if final.shape[0] > 0:
            for j in range(T):
                final[p, j] = out[epochs * T, j]
        if whole.shape[0] > 0:
            for t in range(1 + epochs * T):
                for j in range(T):
                    whole[p, t, j] = out[t, j]


@functools.cache
def moment_kernel() -> Callable[..., Any]:
    """``(S, gram, slopes, slow, fast, order, out, trace)``; see `toymodel.moments.moment_losses`."""
    signature = types.int64(READ2, READ2, READ1, READ1, READ1, ORDER, MATRIX, CUBE)
    return compiled(_moment, signature, nogil=True)


@functools.cache
def share_kernel() -> Callable[..., Any]:
    """``(variance_q, variance_w, slow, fast, order, out)``; see `toymodel.moments.share_losses`."""
    signature = types.int64(READ1, types.float64, READ1, READ1, ORDER, MATRIX)
    return compiled(_share, signature, nogil=True)


@functools.cache
def sweep_kernel() -> Callable[..., Any]:
    """``(tasks, slow, fast, variance, moments, gram, order, epochs, recovery, peaks, final, whole)``."""
    signature = types.void(
        ORDER, READ2, READ2, READ2, read_only(types.float64, 3), READ2, ORDER, types.int64,
        MATRIX, MATRIX, MATRIX, CUBE,
    )  # fmt: skip
    # Threads of Python run it side by side: it holds no lock, and costs no compilation of a parallel loop.
    return compiled(_sweep, signature, nogil=True)
