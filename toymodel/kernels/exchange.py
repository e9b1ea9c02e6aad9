"""One epoch after another in a new random order each, in expectation: O(T^2) per epoch, no matrix."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types

from toymodel.kernels.signatures import CUBE, READ1

__all__ = ["reshuffled_kernel"]


def _reshuffled(own: float, common: float, slow: Any, fast: Any, out: Any) -> None:
    """Epochs of exchangeable tasks; ``out[e, k, p]``: loss of the p-th task of epoch e after k episodes.

    An epoch begins with variance `own` and covariance `common` of all e_j = q_j - w. Say w = 0 there (only
    differences matter) and q = e. Tasks that are still to come share one covariance with w; those that were
    trained have c[p] with w, x[p] with every task to come. The epoch's end gives the next one's beginning:
    a random order sees the mean over tasks, and over pairs of them.
    """
    tasks = out.shape[2]
    c, x, variance = np.empty(tasks), np.empty(tasks), np.empty(tasks)
    for epoch in range(out.shape[0]):
        a, b = slow[epoch], fast[epoch]
        to_come = 0.0  # covariance of w with tasks that were not trained yet
        ww = 0.0
        pairs = 0.0  # sum of covariances of trained tasks
        for p in range(tasks):
            out[epoch, 0, p] = 0.5 * own
        for k in range(tasks):
            # Covariances of the residual r = q_k - w with w and with q_k.
            with_w = to_come - ww
            with_own = own - to_come
            rr = with_own - with_w
            for p in range(k):
                pairs += x[p] - a * (x[p] - c[p])
                c[p] += b * (x[p] - c[p])
            variance[k] = own - 2.0 * a * with_own + a * a * rr
            c[k] = to_come - a * with_w + b * with_own - a * b * rr
            x[k] = common - a * (common - to_come)
            to_come += b * (common - to_come)
            ww += 2.0 * b * with_w + b * b * rr
            for p in range(k + 1):
                out[epoch, k + 1, p] = max(0.5 * (variance[p] + ww) - c[p], 0.0)
            waiting = 0.5 * (own + ww) - to_come
            for p in range(k + 1, tasks):
                out[epoch, k + 1, p] = waiting
        total, covariances = 0.0, 0.0
        for p in range(tasks):
            total += variance[p]
            covariances += c[p]
        own = total / tasks - 2.0 * covariances / tasks + ww
        common = 2.0 * pairs / (tasks * (tasks - 1)) - 2.0 * covariances / tasks + ww


@functools.cache
def reshuffled_kernel() -> Callable[..., Any]:
    """``(own, common, slow, fast, out)``: shares by epoch, ``out`` of shape ``(E, T + 1, T)``."""
    signature = types.void(types.float64, types.float64, READ1, READ1, CUBE)
    return numba.njit(signature, cache=True, error_model="numpy", nogil=True)(_reshuffled)
