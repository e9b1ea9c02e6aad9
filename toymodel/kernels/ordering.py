"""Expected losses of fixed orders, one after another: all of them, or those that a search walks through."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types

from toymodel.kernels.signatures import READ2, VECTOR

__all__ = ["exhaustive_kernel", "search_kernel", "values_kernel"]

_inner = numba.njit(cache=True, error_model="numpy")
_ORDERS = types.Array(types.int64, 2, "C")
_ORDER = types.Array(types.int64, 1, "C")


@_inner
def value(D0: Any, C: Any, order: Any, budget: int, online: bool, D: Any) -> float:
    """Mean online loss, or mean loss at the end, of `budget` episodes that go round and round `order`.

    ``D`` is room for the moments of the differences; an episode on task i is e_j <- e_j - C_ij e_i.
    """
    tasks = D0.shape[0]
    for j in range(tasks):
        for k in range(tasks):
            D[j, k] = D0[j, k]
    paid = 0.0
    for t in range(budget):
        i = order[t % tasks]
        own = D[i, i]
        paid += own
        for j in range(tasks):
            # What row j loses: C_ij D_i. + D_ij C_i. - D_ii C_ij C_i., with D_i. as it was.
            if j != i:
                c = C[i, j]
                rest = D[i, j] - own * c
                for k in range(tasks):
                    D[j, k] -= c * D[i, k] + rest * C[i, k]
        for k in range(tasks):
            if k != i:
                D[i, k] = D[k, i]
        left = 1.0 - C[i, i]
        D[i, i] = left * left * own
    if online:
        return 0.5 * paid / budget
    total = 0.0
    for j in range(tasks):
        total += D[j, j]
    return 0.5 * total / tasks


def _values(D0: Any, C: Any, orders: Any, budget: int, online: bool, out: Any) -> None:
    """The value of every order given, shape ``(n, T)``."""
    D = np.empty(D0.shape)
    for n in range(orders.shape[0]):
        out[n] = value(D0, C, orders[n], budget, online, D)


def _exhaustive(D0: Any, C: Any, budget: int, online: bool, sign: float, best: Any) -> float:
    """The least value times `sign` over all permutations (Heap's enumeration); the order goes into `best`."""
    tasks = D0.shape[0]
    D = np.empty(D0.shape)
    order, counts = np.arange(tasks), np.zeros(tasks, np.int64)
    least = sign * value(D0, C, order, budget, online, D)
    best[:] = order
    i = 0
    while i < tasks:
        if counts[i] < i:
            other = 0 if i % 2 == 0 else counts[i]
            order[i], order[other] = order[other], order[i]
            found = sign * value(D0, C, order, budget, online, D)
            if found < least:
                least = found
                best[:] = order
            counts[i] += 1
            i = 0
        else:
            counts[i] = 0
            i += 1
    return least


@_inner
def changed(order: Any, kind: int, i: int, j: int, out: Any) -> None:
    """A neighbour of an order: i and j exchanged, the stretch between them reversed, or i moved to j."""
    tasks = order.shape[0]
    for k in range(tasks):
        out[k] = order[k]
    if kind == 0:
        out[i], out[j] = order[j], order[i]
    elif kind == 1:
        low, high = min(i, j), max(i, j)
        for k in range(low, high + 1):
            out[k] = order[low + high - k]
    elif i < j:
        for k in range(i, j):
            out[k] = order[k + 1]
        out[j] = order[i]
    else:
        for k in range(j + 1, i + 1):
            out[k] = order[k - 1]
        out[j] = order[i]


def _search(
    D0: Any, C: Any, budget: int, online: bool, sign: float, moves: Any, order: Any, most: int
) -> int:
    """Walk downhill from `order`, in place, until no neighbour is better or `most` values were computed.

    ``moves`` are neighbours, ``(n, 3)``, in the sequence in which they are tried, again and again. Returns
    how many values were computed.
    """
    D, trial = np.empty(D0.shape), np.empty_like(order)
    least = sign * value(D0, C, order, budget, online, D)
    spent, at, since = 1, 0, 0
    while since < moves.shape[0] and spent < most:
        changed(order, moves[at, 0], moves[at, 1], moves[at, 2], trial)
        found = sign * value(D0, C, trial, budget, online, D)
        spent += 1
        since += 1
        # Not for a gain that is rounding: uniformly similar tasks have no better order.
        if found < least - 1e-12 * abs(least):
            least = found
            order[:] = trial
            since = 0
        at = (at + 1) % moves.shape[0]
    return spent


@functools.cache
def values_kernel() -> Callable[..., Any]:
    """``(D, C, orders, budget, online, out)``."""
    signature = types.void(READ2, READ2, _ORDERS, types.int64, types.boolean, VECTOR)
    return numba.njit(signature, cache=True, error_model="numpy", nogil=True)(_values)


@functools.cache
def exhaustive_kernel() -> Callable[..., Any]:
    """``(D, C, budget, online, sign, best)``; the least value times the sign."""
    signature = types.float64(READ2, READ2, types.int64, types.boolean, types.float64, _ORDER)
    return numba.njit(signature, cache=True, error_model="numpy", nogil=True)(_exhaustive)


@functools.cache
def search_kernel() -> Callable[..., Any]:
    """``(D, C, budget, online, sign, moves, order, most)``; values computed."""
    signature = types.int64(
        READ2, READ2, types.int64, types.boolean, types.float64, _ORDERS, _ORDER, types.int64
    )
    return numba.njit(signature, cache=True, error_model="numpy", nogil=True)(_search)
