"""Compiled loops of the fit. Nothing here calls a jitted function of another file: a cache would go stale."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from toymodel.base.compiled import compiled

__all__ = ["BEYOND", "LEAST", "TANGENTS", "feature_kernel", "sensitivity_kernel"]

# Squared distances below this part of the first are rounding.
LEAST = 1e-12

TANGENTS = ("variance_ratio_w", "unfitted_fraction", "slow_share", "unfitted_drift", "slow_drift")
"""Kinds of terms by which the kernel differentiates, in its order."""

BEYOND = {"nearness": ("near_similarity", "reach"), "random": ("interference", "diffusion")}
"""Those that follow where documents are similar by distance in the order, or solutions move at random."""

CHANCE = 1 + len(TANGENTS)
DIFFUSION = CHANCE + 1


@functools.cache
def sensitivity_kernel() -> Callable[..., None]:
    """Expected losses and their exact derivatives (see `_sensitivity`)."""
    inputs = "f8[:,:,::1], f8[:,:,::1], f8[:,:,:,::1], f8[::1], f8, f8, i8[:,::1], b1, f8, f8, f8, f8"
    signature = f"void({inputs}, i8[:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,::1])"
    return compiled(_sensitivity, signature)


@functools.cache
def feature_kernel() -> Callable[..., None]:
    """Derivatives by the correlations of initial solutions (see `_features`)."""
    signature = "void(f8, f8[:,:,::1], f8[:,::1], i8[:,::1], f8[:,:,::1])"
    return compiled(_features, signature)


def _sensitivity(
    initial: Any,
    ratio: Any,
    dratio: Any,
    phi: Any,
    chance: Any,
    diffusion: Any,
    order: Any,
    by_loss: Any,
    start: Any,
    dstart: Any,
    steps: Any,
    last: Any,
    place: Any,
    weight: Any,
    out: Any,
    shares: Any,
) -> None:
    """Run the moment recursion and its tangents side by side, for one group of directions after another.

    ``S[0]`` is the moment matrix over (q_1..q_T, w) and ``S[1:]`` its derivatives by the parameters (in
    the order of `TANGENTS`). One episode adds
    u v^T + v u^T + rr u u^T, with v the covariance with the residual r = q_i - w, rr its variance and u the
    step (-A ratio_ij, +B); a tangent adds the product rule's terms, gathered by column vector. Directions
    that a document does not use stay what they are while it is trained, and are no part of its loss.

    Args:
        initial: S of all documents before training, shape ``(1 + P, T+1, T+1)``.
        ratio: similarity G_ij/G_ii of every epoch, shape ``(E, T, T)``; shape ``(0, 0, 0)`` for orthogonal
            data, where an episode touches two rows only and costs O(T).
        dratio: its derivatives, shape ``(E, P - 5, T, T)``.
        phi: logit u, logit s and their drifts per unit of x.
        chance: variance of the similarity that documents have by chance, of orthogonal data only: an episode
            moves the solution of every other document by a step of its own, of second moment chance A^2 rr.
        diffusion: second moment of a further such step whose size is always the same.
        order: shape ``(E, T)``.
        by_loss: x is the log of rr over `start` and not below `LEAST` (shares drift with the loss), else the
            number of the epoch.
        start: rr before training.
        dstart: derivative of log(start) by the first parameter.
        steps: gradient steps of an episode relative to those u belongs to: u becomes u^steps (section 2).
        last: the epoch after which shares that drift by epoch stay what they are.
        place: number of every document among those that use a group's directions, or -1; shape ``(D, T)``,
            the last group being that of all documents.
        weight: part of every document's loss that lies in a group's directions, and its derivative by the
            parameter that says so; shape ``(2, D, T)`` (`bridge.model.sharing.directions`).
        out: losses, derivatives by `TANGENTS`, and that by the weights' parameter if there is room for it,
            shape ``(1 + P, 1 + E*T, T)`` or ``(2 + P, ...)``; they are added.
        shares: slow and fast share of every episode, shape ``(E*T, 2)``.
    """
    count = initial.shape[0]
    local = ratio.shape[0] > 0
    tasks = place.shape[1]
    docs = np.zeros(tasks + 1, dtype=np.int64)
    known = -1  # epoch whose shares are worked out; they are all groups'
    x = unfitted = left = fitted = dfitted = slow = a = b = 0.0
    for group in range(place.shape[0]):
        w = 0
        for j in range(tasks):
            if place[group, j] >= 0:
                docs[place[group, j]] = j
                w += 1
        docs[w] = tasks
        S = np.empty((count, w + 1, w + 1))
        for p in range(count):
            for j in range(w + 1):
                for m in range(w + 1):
                    S[p, j, m] = initial[p, docs[j], docs[m]]
        u = np.zeros((count, w + 1))
        v = np.empty((count, w + 1))
        rr = np.empty(count)
        losses = np.zeros((count, w))
        if w == tasks and group > 0:
            for row in range(1, 1 + order.size):
                out[:, row] += out[:, row - 1]
        e, k = 0, -2
        for row in range(1 + order.size):
            k += 1
            if k == tasks:
                e, k = e + 1, 0
            i = -1 if row == 0 else place[group, order[e, k]]
            if i < 0 < row:
                continue
            if i >= 0:
                for p in range(count):
                    for j in range(w + 1):
                        v[p, j] = S[p, i, j] - S[p, w, j]
                    rr[p] = v[p, i] - v[p, w]
                seen = by_loss and rr[0] > LEAST * start
                if by_loss or e != known:
                    known = e
                    x = min(float(e), last)
                    if by_loss:
                        x = math.log(rr[0] / start if seen else LEAST)
                    unfitted = 1.0 / (1.0 + math.exp(-(phi[0] + phi[2] * x)))
                    left = unfitted**steps
                    fitted = 1.0 - left
                    dfitted = -steps * left * (1.0 - unfitted)
                    slow = 1.0 / (1.0 + math.exp(-(phi[1] + phi[3] * x)))
                    a = fitted * slow
                    b = fitted * (1.0 - slow)
                shares[row - 1, 0] = a
                shares[row - 1, 1] = b
                for p in range(count):
                    da = a
                    db = b
                    if p > 0:
                        dx = 0.0
                        if seen:
                            dx = rr[p] / rr[0]
                            if p == 1:
                                dx -= dstart
                        du = phi[2] * dx
                        ds = phi[3] * dx
                        if p == 2:
                            du += 1.0
                        elif p == 3:
                            ds += 1.0
                        elif p == 4:
                            du += x
                        elif p == 5:
                            ds += x
                        da = dfitted * slow * du + a * (1.0 - slow) * ds
                        db = dfitted * (1.0 - slow) * du - a * (1.0 - slow) * ds
                    if local:
                        for j in range(w):
                            u[p, j] = -da * ratio[e, docs[i], docs[j]]
                        if p > 5:
                            for j in range(w):
                                u[p, j] -= a * dratio[e, p - 6, docs[i], docs[j]]
                    else:
                        u[p, i] = -da
                    u[p, w] = db
                # Of orthogonal data u is 0 but at i and w.
                first, stride = (0, 1) if local else (i, w - i)
                for p in range(count):
                    for j in range(first, w + 1, stride):
                        uj = u[0, j]
                        duj = u[p, j] if p > 0 else 0.0
                        cdu = v[0, j] + rr[0] * uj
                        cu = v[p, j] + rr[p] * uj + rr[0] * duj if p > 0 else cdu
                        if p == 0:
                            for m in range(w + 1):
                                S[0, j, m] += uj * v[0, m]
                        else:
                            for m in range(w + 1):
                                S[p, j, m] += duj * v[0, m] + uj * v[p, m]
                        for m in range(first, w + 1, stride):
                            S[p, j, m] += cu * u[0, m]
                            if p > 0:
                                S[p, j, m] += cdu * u[p, m]
                    if not local:
                        for m in range(w + 1):
                            S[p, m, i] = S[p, i, m]
                            S[p, m, w] = S[p, w, m]
                if not local:
                    if chance > 0.0 or diffusion > 0.0:
                        step = chance * a * a * rr[0]
                        for p in range(count):
                            more = step + diffusion
                            if p > 0:
                                more = chance * a * (a * rr[p] - 2.0 * u[p, i] * rr[0])
                                if p == CHANCE:
                                    more += step
                                if p == DIFFUSION:
                                    more += diffusion
                            for j in range(w):
                                if j != i:
                                    S[p, j, j] += more
                    u[:, i] = 0.0
            for p in range(count):
                for j in range(w):
                    # Of some documents what changes, since most episodes change nothing; of all of
                    # them the losses themselves, to the last digit.
                    before = losses[p, j] if w < tasks else 0.0
                    losses[p, j] = 0.5 * (S[p, j, j] - 2.0 * S[p, w, j] + S[p, w, w])
                    out[p, row, docs[j]] += weight[0, group, docs[j]] * (losses[p, j] - before)
                    if p == 0 and out.shape[0] > count:
                        out[count, row, docs[j]] += weight[1, group, docs[j]] * (losses[0, j] - before)


def _features(weight: Any, ratio: Any, shares: Any, order: Any, out: Any) -> None:
    """Add the derivatives of every loss by the correlations of the initial q_i and q_k, i < k.

    ``q_j - w`` is a combination a of the initial (q_1..q_T, w) at all times; half its second moment changes
    by a_i a_k with the correlation of q_i and q_k.

    Args:
        weight: factor of what is added.
        ratio: as in `_sensitivity`.
        shares: slow and fast share of every episode, shape ``(E*T, 2)``.
        order: shape ``(E, T)``.
        out: shape ``(1 + E*T, T, T(T-1)/2)``, pairs in row order.
    """
    tasks = out.shape[1]
    local = ratio.shape[0] > 0
    state = np.zeros((tasks, tasks))  # q_j in terms of the initial q
    fast = np.zeros(tasks)  # w likewise; its own start matters to no pair
    residual = np.zeros(tasks)
    combination = np.zeros(tasks)
    for j in range(tasks):
        state[j, j] = 1.0
    row = 0
    for e in range(order.shape[0]):
        for k in range(-1 if e == 0 else 0, order.shape[1]):
            if k >= 0:
                i = order[e, k]
                a = shares[row, 0]
                b = shares[row, 1]
                for m in range(tasks):
                    residual[m] = state[i, m] - fast[m]
                for j in range(tasks):
                    if local or j == i:
                        step = a * ratio[e, i, j] if local else a
                        for m in range(tasks):
                            state[j, m] -= step * residual[m]
                for m in range(tasks):
                    fast[m] += b * residual[m]
                row += 1
            for j in range(tasks):
                for m in range(tasks):
                    combination[m] = state[j, m] - fast[m]
                at = 0
                for m in range(tasks):
                    left = weight * combination[m]
                    for n in range(m + 1, tasks):
                        out[row, j, at] += left * combination[n]
                        at += 1
