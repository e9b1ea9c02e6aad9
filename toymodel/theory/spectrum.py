"""One epoch as a linear operator, for any Gram matrix: spectrum, limits and asymptotics (docs/theory.md).

Losses depend on the differences e_j = q_j - w alone, and these obey a recursion of their own: an episode
on task i does ``e_j <- e_j - C_ij e_i`` with the coupling ``C_ij = A_i G_ij/G_ii + B_i``. Consensus (all q_j
equal w) is e = 0, so it never appears among the eigenvalues here. Closed forms for orthogonal or uniformly
similar data are in `toymodel.theory.ring`.
"""

from __future__ import annotations

import math
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError
from toymodel.base.words import arg
from toymodel.measures.schedules import period
from toymodel.moments import shares

__all__ = [
    "Variances",
    "consensus_weights",
    "coupling",
    "difference_losses",
    "difference_moments",
    "difference_operator",
    "effective_gram",
    "epoch_spectrum",
    "growth",
    "paper_variances",
    "rate_limit",
]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
# Eigenvalues nearer than this, relative to the largest, are taken as equal: no run is long enough to part
# them.
EQUAL = 1e-7


def coupling(gram: ArrayLike, slow: ArrayLike, fast: ArrayLike) -> Floats:
    """``C_ij = A_i G_ij/G_ii + B_i``: what training task i takes from e_j, per unit of e_i; shape ``(T, T)``.

    C alone decides every loss (docs/theory.md, section 4): problems with equal C are the same problem.

    Args:
        gram: G = X^T X, shape ``(T, T)`` (not necessarily symmetric: see `effective_gram`).
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.
    """
    G = np.asarray(gram, dtype=np.float64)
    if G.ndim != 2 or G.shape[0] != G.shape[1] or len(G) < 2:
        raise InputError(
            f"a Gram matrix of shape {G.shape}",
            expected="shape (T, T), T >= 2",
            fix="gram = x @ x.T for data x of shape (T, N)",
        )
    if not np.isfinite(G).all():
        i, j = (int(v) for v in np.argwhere(~np.isfinite(G))[0])
        raise InputError(f"a Gram matrix with {G[i, j]} at [{i}, {j}]", expected="finite inner products",
                         fix=f"look at the data of tasks {i} and {j}")  # fmt: skip
    diagonal = np.diag(G)
    if not (diagonal > 0).all():
        i = int(diagonal.argmin())
        negative = "gram = x @ x.T for data x of shape (T, N)"
        raise InputError(f"a Gram matrix with {diagonal[i]:.3g} at [{i}, {i}]", expected="||x_i||^2 > 0",
                         fix=negative if diagonal[i] < 0 else f"remove task {i}: it has no data")  # fmt: skip
    a, b = _by_task("slow", slow, len(G)), _by_task("fast", fast, len(G))
    return a[:, None] * (G / diagonal[:, None]) + b[:, None]


def difference_operator(
    gram: ArrayLike, slow: ArrayLike, fast: ArrayLike, order: ArrayLike | None = None
) -> Floats:
    """The linear map of e = (q_1 - w, ..., q_T - w) that one epoch applies, shape ``(T, T)``.

    `toymodel.epoch_operator` with the consensus taken out: its other eigenvalues are these (section 4). The
    residuals r met on the way obey a triangular system, ``r_k = e_k(0) - sum_{l<k} C_{i_l i_k} r_l``, and
    what is left is ``e_j(0) - sum_k C_{i_k j} r_k``.

    Args:
        gram: G, shape ``(T, T)``.
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.
        order: tasks of the epoch, shape ``(T,)``, or of several, ``(E, T)``; 0..T-1 if None.
    """
    C = coupling(gram, slow, fast)
    phi = np.eye(len(C))
    for epoch in _epochs(order, len(C)):
        taken = C[epoch]
        before = np.tril(taken[:, epoch].T, -1)
        np.fill_diagonal(before, 1.0)
        phi -= taken.T @ np.linalg.solve(before, phi[epoch])
    return phi


def epoch_spectrum(
    gram: ArrayLike, slow: ArrayLike, fast: ArrayLike, order: ArrayLike | None = None
) -> Complexes:
    """The T eigenvalues of one epoch besides consensus, largest modulus first (docs/theory.md, section 5).

    For orthogonal data they are the T-th powers of `toymodel.ring_roots`. Arguments as `difference_operator`;
    of several epochs it is the spectrum of all together.
    """
    values = np.linalg.eigvals(difference_operator(gram, slow, fast, order)).astype(np.complex128)
    return values[np.lexsort((-values.imag, np.round(-np.abs(values), 12)))]


def growth(gram: ArrayLike, slow: ArrayLike, fast: ArrayLike, order: ArrayLike | None = None) -> float:
    """Factor by which the differences q_j - w grow per epoch, in the end (docs/theory.md, section 6).

    The spectral radius of an epoch; of an order that changes, that of all its epochs together, taken to the
    power 1/E: the order is thought to begin again at its end. Losses grow by its square.

    Args:
        gram: G, shape ``(T, T)``.
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.
        order: tasks of one epoch, shape ``(T,)``, or of all, ``(E, T)``; 0..T-1 if None.
    """
    epochs = _epochs(order, len(np.asarray(gram)))
    epochs = epochs[: period(epochs)]  # all of them where none comes again
    with np.errstate(over="ignore", invalid="ignore"):
        phi = difference_operator(gram, slow, fast, epochs)
    if not np.isfinite(phi).all():
        return math.inf
    return float(np.abs(np.linalg.eigvals(phi)).max() ** (1 / len(epochs)))


def rate_limit(
    gram: ArrayLike, *, inner_steps: int = 1, fast_rate: float = 1.0, order: ArrayLike | None = None
) -> float:
    """Largest stable learning rate of the slow weights, for any Gram matrix (docs/theory.md, section 6).

    Where the spectral radius of an epoch passes 1. Uniform similarity has a closed form,
    `toymodel.slow_step_limit` over ||x||^2.

    Args:
        gram: G, shape ``(T, T)``.
        inner_steps: K.
        fast_rate: eta.
        order: as in `growth`.

    Returns:
        The limit; 0 where even small rates diverge (unequal slopes on similar data can do that: see
        `effective_gram`), infinity where 1000 / max ||x||^2 is still stable.
    """
    G = np.asarray(gram, dtype=np.float64)
    coupling(G, 0.0, 1.0)  # judges the Gram matrix
    squares = np.diag(G)

    def excess(rate: float) -> float:
        radius = growth(G, *shares(rate * squares, fast_rate, inner_steps), order)
        # Data that cannot all be solved keep an eigenvalue of exactly 1, up to rounding.
        return math.log(min(max(radius, 1e-9), 1e9)) - 1e-9

    step = 1 / float(squares.max())
    low, high = 0.0, 0.01 * step
    while excess(high) <= 0:
        low, high = high, 1.5 * high
        if high > 1000 * step:
            return math.inf
    if low == 0.0:
        return 0.0
    from scipy.optimize import brentq

    limit: float = brentq(excess, low, high, rtol=1e-10)
    return limit


def consensus_weights(gram: ArrayLike, slow: ArrayLike, fast: ArrayLike) -> Floats:
    """Weights c of the q_1..q_T and w in what they all become, ``sum_j c_j q_j + c_w w``; shape ``(T+1,)``.

    The sum is conserved by every episode, so no order of training changes where training ends (section 3);
    for orthogonal data c is B for every q and A for w, over A + B T.

    Raises:
        InputError: when the conserved sum is not unique (linearly dependent data points) or has no consensus
            (at the stability limit).
    """
    C = coupling(gram, slow, fast)
    b = _by_task("fast", fast, len(C))
    # Episode i changes the sum by -(sum_j c_j (C_ij - B_i) - c_w B_i) r: T equations for T + 1 unknowns.
    equations = np.hstack([C - b[:, None], -b[:, None]])
    _, singular, directions = np.linalg.svd(equations)
    weights = directions[-1]
    total = weights.sum()
    if singular[-1] <= 1e-12 * singular[0] or abs(total) <= 1e-12:
        raise InputError("data or shares without a single consensus",
                         expected="linearly independent data points and a rate inside the stability limit",
                         fix="use a larger dimension N >= T, or a smaller rate")  # fmt: skip
    return weights / total


def effective_gram(gram: ArrayLike, slopes: ArrayLike) -> Floats:
    """``G_ij s_i/s_j``: the Gram matrix of the same dynamics when f_i(w) = s_i w + y_i (section 2).

    The q then obey the common-slope recursion with it, and task j's loss is ``s_j^2/2 ||q_j - w||^2``. It is
    not symmetric. For orthogonal data slopes change nothing.

    Args:
        gram: G, shape ``(T, T)``.
        slopes: s, shape ``(T,)``, none of them 0.
    """
    s = np.asarray(slopes, dtype=np.float64)
    if s.ndim != 1 or not np.isfinite(s).all() or (s == 0).any():
        raise InputError(f"slopes {slopes!r}", expected="finite numbers other than 0, one per task",
                         fix="give every task a map that can be inverted")  # fmt: skip
    return np.asarray(gram, dtype=np.float64) * s[:, None] / s[None, :]


class Variances(TypedDict):
    """Variances of the entries of P, y and w, as `toymodel.expected_losses` takes them."""

    variance_p: float
    variance_y: float
    variance_w: float


def paper_variances(dimension: int, target: str = "none") -> Variances:
    """Variances of the paper's initial weights and targets (appendix A.3; docs/theory.md, section 9).

    P ~ N(0, 1/N^2) and w ~ U(-1, 1), whose variance is 1/3. Use: ``expected_losses(gram, dimension=M, ...,
    **paper_variances(N))``.

    Args:
        dimension: N.
        target: ``"none"`` for f(w) = w; for f(w) = y - w ``"uniform"``, y ~ U(-1, 1) as in the text, or
            ``"normal"``, y ~ N(0, 1) as the axes of Figs. 10b and 11 suggest.
    """
    known = {"none": 0.0, "uniform": 1 / 3, "normal": 1.0}
    if target not in known:
        raise InputError(
            arg("target", target), expected="one of " + ", ".join(known), fix=arg("target", "uniform")
        )
    if dimension < 1:
        raise InputError(arg("dimension", dimension), expected="at least 1", fix=arg("dimension", 100))
    return {"variance_p": 1 / dimension**2, "variance_y": known[target], "variance_w": 1 / 3}


def difference_moments(moments: ArrayLike) -> Floats:
    """``D_ij = sum_m e_mi e_mj`` of e_j = q_j - w from the moments S of (q_1..q_T, w); shape ``(T, T)``.

    Half its diagonal are the losses of maps with slope 1 or -1 (paper eq. 3; docs/theory.md, section 10).
    """
    S = np.asarray(moments, dtype=np.float64)
    if S.ndim != 2 or S.shape[0] != S.shape[1] or len(S) < 3 or not np.isfinite(S).all():
        raise InputError(f"moments of shape {S.shape}", expected="finite values of shape (T+1, T+1)",
                         fix="simulate(..., record='S').trajectories['S'][-1]")  # fmt: skip
    return S[:-1, :-1] - S[:-1, -1:] - S[-1:, :-1] + S[-1, -1]


def difference_losses(differences: ArrayLike, coupled: ArrayLike, order: ArrayLike) -> Floats:
    """Losses from the moments D of the differences, free of cancellation however small they get (section 9).

    Args:
        differences: D, shape ``(T, T)``.
        coupled: C, shape ``(T, T)`` (see `coupling`).
        order: tasks trained, shape ``(E, T)``.

    Returns:
        ``1/2 D_jj`` before training and after every episode, shape ``(1 + E*T, T)``.
    """
    D, C = np.array(differences, dtype=np.float64), np.asarray(coupled, dtype=np.float64)
    rows = [np.diag(D) / 2]
    for i in np.asarray(order).ravel():
        change = np.outer(C[i], D[i])
        D -= change + change.T - D[i, i] * np.outer(C[i], C[i])
        rows.append(np.diag(D) / 2)
    return np.array(rows)


def _by_task(name: str, share: ArrayLike, tasks: int) -> Floats:
    values = np.asarray(share, dtype=np.float64)
    if values.shape not in ((), (1,), (tasks,)) or not np.isfinite(values).all():
        raise InputError(
            f"{name} shares of shape {values.shape} for {tasks} tasks",
            expected="finite values, one for all or one per task",
            fix=arg(name, 0.3),
        )
    return np.broadcast_to(values, (tasks,))


def _epochs(order: ArrayLike | None, tasks: int) -> NDArray[np.int64]:
    """Epochs of tasks, shape ``(E, T)``, checked; one of 0..T-1 if None."""
    if order is None:
        return np.arange(tasks, dtype=np.int64)[None]
    epochs = np.atleast_2d(np.asarray(order))
    whole = epochs.ndim == 2 and epochs.shape[1] == tasks and len(epochs) > 0
    if not whole or not np.issubdtype(epochs.dtype, np.integer) or epochs.min() < 0 or epochs.max() >= tasks:
        raise InputError(
            f"an order of {epochs.dtype} and shape {np.shape(order)}",
            expected=f"epochs of {tasks} task numbers from 0 to {tasks - 1}",
            fix=f"order=range({tasks})",
        )
    return epochs.astype(np.int64)


def epoch_order(order: ArrayLike | None, tasks: int) -> NDArray[np.int64]:
    """One epoch's tasks, shape ``(T,)``, checked; 0..T-1 if None."""
    epochs = _epochs(order, tasks)
    if len(epochs) > 1:
        raise InputError(f"an order of {len(epochs)} epochs", expected="one epoch that is repeated",
                         fix="order=order[0]")  # fmt: skip
    return epochs[0]
