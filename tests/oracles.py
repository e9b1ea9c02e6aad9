"""Slow, obvious versions of everything that is optimised."""

import numpy as np


def share_moments(slow, fast, order, moments, gram):
    """The moment recursion with explicit matrices: u <- A u, S <- A S A^T."""
    T = order.shape[1]
    S = np.array(moments, float)
    rows = [[0.5 * (S[j, j] - 2 * S[j, T] + S[T, T]) for j in range(T)]]
    for i, A, B in zip(order.ravel(), slow.ravel(), fast.ravel(), strict=True):
        step = np.eye(T + 1)
        for j in range(T):
            step[j, i] -= A * gram[i, j] / gram[i, i]
            step[j, T] += A * gram[i, j] / gram[i, i]
        step[T, i] += B
        step[T, T] -= B
        S = step @ S @ step.T
        rows.append([0.5 * (S[j, j] - 2 * S[j, T] + S[T, T]) for j in range(T)])
    return np.array(rows)


def recovery_parts(values, order, n):
    """(after, peak, before) means over tasks of interval n, by walking through the episodes."""
    flat = list(order.ravel())
    parts = []
    for task in range(values.shape[1]):
        visits = [t for t, i in enumerate(flat) if i == task]
        if len(visits) > n:
            stretch = [values[t, task] for t in range(visits[n - 1] + 1, visits[n] + 1)]
            parts.append((stretch[0], max(stretch), stretch[-1]))
    return np.mean(np.array(parts), axis=0)
