"""The toy's own version of the network figures: gradients, weights, activations and their trajectories.

Maps with one slope s (f_i(w) = s w + y_i) need no simulation in full dimensions: cosines, distances, losses
and principal components are functions of inner products, so the moments S of u = (q_1..q_T, w) carry them,
and `compressed_run` replays any run in at most T + 1 dimensions with the same inner products. Derivations
are in docs/theory.md, section 10; figures are the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError
from toymodel.base.words import arg
from toymodel.theory.spectrum import coupling, difference_moments

__all__ = [
    "PCA",
    "compressed_run",
    "cosines",
    "gradient_cosines",
    "gram_cosines",
    "pairwise_recovery",
    "pca",
    "step_sizes",
    "turns",
    "weight_residual_cosines",
    "weight_step_gram",
    "weight_step_sizes",
]

Floats = NDArray[np.float64]
# A vector shorter than this part of the longest is rounding: it has no direction.
_SHORT = 1e-7
# The same for squared lengths of differences, against the squared lengths of what they are differences of.
_ROUNDING = 1e-13


def compressed_run(
    moments: ArrayLike, gram: ArrayLike, slow: ArrayLike, fast: ArrayLike, order: ArrayLike
) -> tuple[Floats, Floats]:
    """A run in k <= T + 1 dimensions with the inner products of every run from these moments (section 10).

    Args:
        moments: S_0 of (q_1..q_T, w), shape ``(T+1, T+1)``, positive semidefinite.
        gram: G, shape ``(T, T)``.
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.
        order: tasks trained, shape ``(E, T)``.

    Returns:
        q, shape ``(1 + E*T, T, k)``, and w, shape ``(1 + E*T, k)``: before training and after every episode,
        as ``simulate(..., record=("q", "w"))`` gives them in M dimensions.
    """
    C = coupling(gram, slow, fast)
    tasks = len(C)
    b = np.broadcast_to(np.asarray(fast, dtype=np.float64), (tasks,))
    S = np.asarray(moments, dtype=np.float64)
    if S.shape != (tasks + 1, tasks + 1) or not np.isfinite(S).all():
        raise InputError(f"moments of shape {S.shape} for {tasks} tasks", expected="finite (T+1, T+1)",
                         fix="simulate(..., record='S').trajectories['S'][0]")  # fmt: skip
    values, vectors = np.linalg.eigh((S + S.T) / 2)
    scale = max(float(values[-1]), np.finfo(np.float64).tiny)
    if values[0] < -1e-9 * scale:
        raise InputError(f"moments with eigenvalue {values[0]:.3g}", expected="positive semidefinite moments",
                         fix="S = u @ u.T for u = (q_1 .. q_T, w)")  # fmt: skip
    kept = values > 0
    u = vectors[:, kept] * np.sqrt(values[kept])
    q, w = u[:-1].copy(), u[-1].copy()
    flat = np.asarray(order).ravel()
    qs, ws = np.empty((1 + len(flat), *q.shape)), np.empty((1 + len(flat), *w.shape))
    qs[0], ws[0] = q, w
    for t, i in enumerate(flat):
        residual = q[i] - w
        q -= np.outer(C[i] - b[i], residual)
        w += b[i] * residual
        qs[t + 1], ws[t + 1] = q, w
    return qs, ws


def gradient_cosines(
    moments: ArrayLike, gram: ArrayLike, *, slope: float = 1.0, part: str = "fast"
) -> Floats:
    """Cosines between the tasks' loss gradients at one state (Fig. 8a; section 10), shape ``(T, T)``.

    The gradient of task i is ``s (q_i - w) x_i^T`` for P and ``-s^2 (q_i - w)`` for w.

    Args:
        moments: S of (q_1..q_T, w) at that state, shape ``(T+1, T+1)``.
        gram: G, shape ``(T, T)``.
        slope: s.
        part: ``"fast"`` (w), ``"slow"`` (P; 0 between orthogonal data) or ``"all"``.

    Returns:
        Cosines; NaN in the rows and columns of tasks that are solved, whose gradient has no direction.
    """
    D, G = difference_moments(moments), np.asarray(gram, dtype=np.float64)
    fast, slow = slope**4 * np.ones_like(G), slope**2 * G
    weights = {"fast": fast, "slow": slow, "all": fast + slow}
    if part not in weights:
        raise InputError(arg("part", part), expected="one of " + ", ".join(weights), fix=arg("part", "fast"))
    # q_i - w is a difference: far below the size of q and w themselves it is nothing but their rounding.
    solved = np.diag(D) <= _ROUNDING * np.abs(np.asarray(moments)).max()
    return gram_cosines(np.where(solved[:, None] | solved, np.nan, weights[part] * D))


def pairwise_recovery(
    moments: ArrayLike, gram: ArrayLike, slow: ArrayLike, fast: ArrayLike, *, slope: float = 1.0
) -> Floats:
    """Fall of the loss of task j (column) when one episode trains task i (row) (Figs. 8b and 18; section 10).

    ``s^2 (C_ij D_ij - C_ij^2 D_ii / 2)`` with the coupling C and the moments D of q_j - w; shape ``(T, T)``.
    Negative where the loss rises.

    Args:
        moments: S of (q_1..q_T, w) at the state from which each task is tried, shape ``(T+1, T+1)``.
        gram: G, shape ``(T, T)``.
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.
        slope: s.
    """
    D, C = difference_moments(moments), coupling(gram, slow, fast)
    return slope**2 * (C * D - C**2 * np.diag(D)[:, None] / 2)


def weight_step_gram(
    q: ArrayLike,
    w: ArrayLike,
    order: ArrayLike,
    gram: ArrayLike,
    slow: ArrayLike,
    *,
    slope: float = 1.0,
    part: str = "all",
) -> Floats:
    """Inner products of the changes that episodes make to the weights (P, w), shape ``(E*T, E*T)``.

    Section 10: episode t on task i changes P by ``-(A_i/G_ii) s (q_i - w) x_i^T``: P itself is not needed.

    Args:
        q: solution vectors, shape ``(1 + E*T, T, k)`` (`compressed_run`, or a recorded simulation).
        w: fast weights, shape ``(1 + E*T, k)``.
        order: tasks trained, shape ``(E, T)``.
        gram: G, shape ``(T, T)``.
        slow: A by task, scalar or ``(T,)``.
        slope: s.
        part: ``"slow"`` (P), ``"fast"`` (w) or ``"all"``.
    """
    if part not in ("fast", "slow", "all"):
        raise InputError(arg("part", part), expected="one of fast, slow, all", fix=arg("part", "all"))
    q, w, G = (np.asarray(v, dtype=np.float64) for v in (q, w, gram))
    flat = np.asarray(order).ravel()
    if q.ndim != 3 or len(q) != 1 + len(flat) or w.shape != (len(q), q.shape[2]) or q.shape[1] != len(G):
        raise InputError(f"trajectories of shape {q.shape} and {w.shape} for {len(flat)} episodes",
                         expected="q (1+E*T, T, k) and w (1+E*T, k)",
                         fix="simulate(..., record=('q', 'w')).trajectories")  # fmt: skip
    total = np.zeros((len(flat), len(flat)))
    if part != "fast":
        residual = q[np.arange(len(flat)), flat] - w[:-1]
        a = np.broadcast_to(np.asarray(slow, dtype=np.float64), (len(G),))[flat] / np.diag(G)[flat]
        total += slope**2 * np.outer(a, a) * G[np.ix_(flat, flat)] * (residual @ residual.T)
    if part != "slow":
        steps = np.diff(w, axis=0)
        total += steps @ steps.T
    return total


def weight_step_sizes(steps: ArrayLike) -> Floats:
    """Length of each episode's change of the weights (Fig. 17b; section 10), shape ``(E*T,)``.

    Args:
        steps: `weight_step_gram`.
    """
    return np.sqrt(np.diag(np.asarray(steps, dtype=np.float64)))


def weight_residual_cosines(steps: ArrayLike, window: int) -> tuple[NDArray[np.int64], Floats]:
    """Cosines between weight residuals, the weights less their moving average (eq. 2, Fig. 8c; section 10).

    The average runs over the window centred on the episode; an even window gives its two ends half the
    weight, so that what all weights share cancels. Episodes whose window the run's ends cut are left out.

    Args:
        steps: `weight_step_gram`, shape ``(E*T, E*T)``.
        window: T, the number of tasks.

    Returns:
        Rows (0 before training, t after episode t) and the cosines between them, shape ``(m, m)``.
    """
    K = np.asarray(steps, dtype=np.float64)
    half, count = window // 2, len(K)
    if window < 2 or count < 2 * half:
        raise InputError(arg("window", window) + f" for {count} episodes", expected=f"from 2 to {count}",
                         fix="train for 2 epochs or more")  # fmt: skip
    average = np.ones(2 * half + 1)
    if window % 2 == 0:
        average[[0, -1]] = 0.5
    average /= window
    # theta_t - sum_n a_n theta_{t+n} as a sum of steps: those before t enter with the weight of the average's
    # earlier part, those after with minus that of its later part. Distant steps, however large, don't enter.
    before, after = np.cumsum(average)[:-1], np.cumsum(average[::-1])[:-1][::-1]
    taken = np.concatenate([before[:half], -after[half:]])
    rows = np.arange(half, count - half + 1)
    take = np.zeros((len(rows), count))
    for line, row in enumerate(rows):
        take[line, row - half : row + half] = taken
    return rows, gram_cosines(take @ K @ take.T)


def cosines(vectors: ArrayLike) -> Floats:
    """Cosines between all pairs of rows, shape ``(n, n)``; NaN for rows that are 0.

    Of one task's projections P x_j over episodes (``record="Z"``) these are the toy's version of Fig. 8d
    (section 10).
    """
    rows = np.asarray(vectors, dtype=np.float64)
    return gram_cosines(rows @ rows.T)


def gram_cosines(gram: ArrayLike) -> Floats:
    """Cosines from inner products (section 10), shape ``(n, n)``; NaN where a vector is 0 up to rounding."""
    K = np.asarray(gram, dtype=np.float64)
    lengths = np.sqrt(np.maximum(np.diag(K), 0))
    longest = lengths[np.isfinite(lengths)].max(initial=0)
    lengths = np.where(lengths > _SHORT * longest, lengths, np.nan)
    return np.clip(K / np.outer(lengths, lengths), -1, 1)


def step_sizes(vectors: ArrayLike) -> Floats:
    """Distance from each row to the next, shape ``(n - 1,)``: Fig. 17a for a task's P x_j (section 10)."""
    return np.linalg.norm(np.diff(np.asarray(vectors, dtype=np.float64), axis=0), axis=1)


@dataclass(frozen=True)
class PCA:
    """Principal components of n points.

    Attributes:
        coordinates: shape ``(n, c)``, centred; each component's largest entry is positive.
        explained: share of the variance by component, shape ``(c,)``; NaN for points that coincide.
    """

    coordinates: Floats
    explained: Floats


def pca(vectors: ArrayLike | None = None, components: int = 2, *, gram: ArrayLike | None = None) -> PCA:
    """Principal components of points given as rows or by their inner products (Figs. 9 and 11; section 10).

    Args:
        vectors: shape ``(n, d)``; or None with `gram`.
        components: c, at most n.
        gram: inner products of the points, shape ``(n, n)``, such as the q block of S.
    """
    if (vectors is None) == (gram is None):
        raise InputError("pca of both or neither of vectors and gram", expected="one of them",
                         fix="pca(q[-1]) or pca(gram=S[:-1, :-1])")  # fmt: skip
    if vectors is not None:
        rows = np.asarray(vectors, dtype=np.float64)
        rows = rows - rows.mean(0)
        left, singular, _ = np.linalg.svd(rows, full_matrices=False)
        variances = singular**2
    else:
        K = np.asarray(gram, dtype=np.float64)
        K = K - K.mean(0) - K.mean(1)[:, None] + K.mean()
        variances, left = np.linalg.eigh((K + K.T) / 2)
        variances, left = np.maximum(variances[::-1], 0), left[:, ::-1]
    if not 1 <= components <= len(left):
        raise InputError(
            arg("components", components), expected=f"from 1 to {len(left)}", fix=arg("components", 2)
        )
    coordinates = np.zeros((len(left), components))
    found = min(components, left.shape[1])
    coordinates[:, :found] = left[:, :found] * np.sqrt(variances[:found])
    # Components have no sign of their own; this one is the same on every machine.
    largest = np.abs(coordinates).argmax(0)
    coordinates *= np.where(coordinates[largest, np.arange(components)] < 0, -1, 1)
    explained = np.full(components, np.nan)
    if variances.sum() > 0:
        explained[:] = 0
        explained[:found] = variances[:found] / variances.sum()
    return PCA(coordinates, explained)


def turns(points: ArrayLike, *, closed: bool = False) -> float:
    """Turns of a path in the plane around its centre, counted without sign (section 10).

    Args:
        points: shape ``(n, 2)``, in the order of the path, e.g. two principal components.
        closed: include the way from the last point back to the first (the ring of the q): whole turns then.
    """
    plane = np.asarray(points, dtype=np.float64)
    if plane.ndim != 2 or plane.shape[1] != 2 or len(plane) < 2:
        raise InputError(
            f"points of shape {plane.shape}", expected="(n, 2) with n >= 2", fix="pca(q).coordinates"
        )
    plane = plane - plane.mean(0)
    if closed:
        plane = np.vstack([plane, plane[:1]])
    angle = np.unwrap(np.arctan2(plane[:, 1], plane[:, 0]))
    return float(abs(angle[-1] - angle[0]) / (2 * np.pi))
