"""The loop over Z = P X, for any map."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types

from toymodel.base.compiled import compiled
from toymodel.kernels.signatures import CUBE, MAP, MATRIX, ORDER, READ1, READ2

__all__ = ["aligned", "projected_kernel"]

_inner = numba.njit(cache=True, error_model="numpy")
# Sums of squares may be reordered (they vectorise then); nothing else is relaxed.
_SUMS = {"reassoc", "contract"}
_inner_sums = numba.njit(cache=True, error_model="numpy", fastmath=_SUMS)


@_inner
def aligned(size: int) -> Any:
    """An empty vector at the start of a cache line: reads across two lines take half as long again."""
    room = np.empty(size + 8)
    start = (-(room.ctypes.data // 8)) % 8
    return room[start : start + size]


@_inner_sums
def settle(Z: Any, j: int, g: Any, total: Any, f: Any, losses: Any) -> None:
    """Task j after an episode: ``z_j -= g_j total``, and the loss ``1/2 |z_j - f|^2``."""
    z, gj, loss = Z[j], g[j], 0.0
    for m in range(f.shape[0]):
        zm = z[m] - gj * total[m]
        z[m] = zm
        loss += (zm - f[m]) * (zm - f[m])
    losses[j] = 0.5 * loss


@_inner_sums
def settle_two(Z: Any, j: int, g: Any, total: Any, f: Any, losses: Any) -> None:
    """`settle` of tasks j and j + 1, which reads what they share once: a fifth faster."""
    z, gz, loss_z = Z[j], g[j], 0.0
    y, gy, loss_y = Z[j + 1], g[j + 1], 0.0
    for m in range(f.shape[0]):
        zm, ym = z[m] - gz * total[m], y[m] - gy * total[m]
        z[m] = zm
        y[m] = ym
        loss_z += (zm - f[m]) * (zm - f[m])
        loss_y += (ym - f[m]) * (ym - f[m])
    losses[j] = 0.5 * loss_z
    losses[j + 1] = 0.5 * loss_y


def _projected(
    forward: Any,
    inverse: Any,
    theta: Any,
    gram: Any,
    start_z: Any,
    start_w: Any,
    rate: float,
    eta: float,
    steps: int,
    order: Any,
    out: Any,
    Zs: Any,
    ws: Any,
) -> int:
    """Episodes on Z = P X for any map, each ``out.shape[1]`` evaluations of f and one pass over Z.

    A single row of theta is that of all tasks, and needs one evaluation per episode. Inner steps touch z_i
    alone; the others move once, by the sum of the steps. Zs and ws take the trajectories, if they have room.
    Returns -1, or the first row of `out` that is not finite.
    """
    rows, size = start_z.shape
    shown = out.shape[1]
    one = theta.shape[0] == 1
    Z, w, f, total = aligned(rows * size).reshape(rows, size), aligned(size), aligned(size), aligned(size)
    Z[:] = start_z
    w[:] = start_w
    total[:] = 0.0
    g, losses = np.zeros(rows), np.empty(rows)
    for t in range(order.shape[0] + 1):
        if t > 0:
            i = order[t - 1]
            squared = gram[i, i]
            own = 0 if one else i
            for k in range(steps):
                if not one or k > 0:  # else f is still what the last losses were measured against
                    forward(w, theta[own], f)
                for m in range(size):
                    step = rate * (Z[i, m] - f[m])
                    total[m] = step if k == 0 else total[m] + step
                    Z[i, m] -= squared * step
                inverse(Z[i], theta[own], f)
                for m in range(size):
                    w[m] += eta * (f[m] - w[m])
            for j in range(rows):
                g[j] = gram[i, j]
            g[i] = 0.0  # has moved
        if one:
            forward(w, theta[0], f)
            for j in range(0, rows - 1, 2):
                settle_two(Z, j, g, total, f, losses)
            if rows % 2 == 1:
                settle(Z, rows - 1, g, total, f, losses)
        else:
            for j in range(rows):
                if j < shown:
                    forward(w, theta[j], f)
                settle(Z, j, g, total, f, losses)
        finite = True
        for j in range(shown):
            out[t, j] = losses[j]
            finite &= np.isfinite(losses[j])
        if not finite:
            return t
        if Zs.shape[0] > 0:
            for j in range(shown):
                for m in range(size):
                    Zs[t, j, m] = Z[j, m]
        if ws.shape[0] > 0:
            for m in range(size):
                ws[t, m] = w[m]
    return -1


@functools.cache
def projected_kernel() -> Callable[..., Any]:
    """``(forward, inverse, theta, gram, Z, w, rate, eta, steps, order, out, Zs, ws)``; see `_projected`."""
    signature = types.int64(
        MAP, MAP, MATRIX, READ2, READ2, READ1, types.float64, types.float64, types.int64, ORDER,
        MATRIX, CUBE, MATRIX,
    )  # fmt: skip
    return compiled(_projected, signature, nogil=True, fastmath=_SUMS)
