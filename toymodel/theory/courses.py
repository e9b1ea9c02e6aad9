"""Expected losses by order: fixed, reshuffled every epoch, drawn independently (docs/theory.md, section 11).

A fixed order needs nothing new (`toymodel.share_losses`, `toymodel.expected_losses`). An order that is drawn
anew in every epoch, or episode, is independent of what training has done so far; averaging over the draw,
epoch by epoch, is therefore exact, and no order is ever simulated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError
from toymodel.base.words import args
from toymodel.measures.losses import LossMatrix
from toymodel.measures.online import online_crossing, online_loss
from toymodel.measures.schedules import schedule
from toymodel.moments import share_losses
from toymodel.theory.ring import gauge_shares
from toymodel.theory.spectrum import difference_operator

__all__ = [
    "OrderCourse",
    "crossing_epoch",
    "iid_losses",
    "order_course",
    "reshuffled_growth",
    "reshuffled_losses",
]

Floats = NDArray[np.float64]


def reshuffled_losses(
    slow: ArrayLike,
    fast: ArrayLike,
    tasks: int,
    epochs: int,
    *,
    variance_q: float = 1.0,
    variance_w: float = 0.0,
    similarity: float = 0.0,
) -> Floats:
    """Expected losses per embedding dimension when every epoch has a new random order (section 11).

    Exact, at the cost of one fixed order, for orthogonal or uniformly similar data: one epoch in any order,
    then every moment replaced by its mean over permutations.

    Args:
        slow: A, a scalar or by epoch, shape ``(E,)``.
        fast: B, likewise.
        tasks: T.
        epochs: E.
        variance_q: initial variance of each q_i.
        variance_w: of w.
        similarity: rho = G_ij/G_ii; initial q are independent all the same (see `gauge_shares`).

    Returns:
        Losses of the p-th task of an epoch's order after k of its episodes, shape ``(E, T + 1, T)``; the
        entries ``[e, k, k]`` are the online losses.
    """
    from toymodel.kernels import reshuffled_kernel

    if tasks < 2 or epochs < 1:
        raise InputError(f"{tasks} tasks, {epochs} epochs", expected="at least 2 tasks and 1 epoch",
                         fix="reshuffled_losses(0.3, 0.7, 25, 5)")  # fmt: skip
    if not (math.isfinite(variance_q + variance_w) and variance_q >= 0 <= variance_w):
        raise InputError(
            args(variance_q=variance_q, variance_w=variance_w),
            expected="finite, 0 or more",
            fix="variance_w=1/3",
        )
    if similarity:
        slow, fast = gauge_shares(slow, fast, similarity)
    a, b = _by_epoch(slow, epochs), _by_epoch(fast, epochs)
    out = np.empty((epochs, tasks + 1, tasks))
    reshuffled_kernel()(float(variance_q + variance_w), float(variance_w), a, b, out)
    return out


def _by_epoch(share: ArrayLike, epochs: int) -> Floats:
    values = np.empty(epochs)
    try:
        values[...] = share
    except ValueError:
        values.fill(np.nan)
    if not math.isfinite(values.sum()):
        raise InputError(f"shares of shape {np.shape(share)} for {epochs} epochs",
                         expected="finite values, one for all or one per epoch", fix="0.3")  # fmt: skip
    return values


def reshuffled_growth(slow: float, fast: float, tasks: int, *, similarity: float = 0.0) -> float:
    """Factor of the expected losses per reshuffled epoch, in the end (section 11).

    The epoch maps the variance and covariance of exchangeable e_j linearly to new ones: its larger
    eigenvalue.

    Args:
        slow: A.
        fast: B.
        tasks: T.
        similarity: rho.
    """
    a, b = (float(v) for v in gauge_shares(slow, fast, similarity))
    phi = difference_operator(np.eye(tasks), a, b)
    ends = []
    for start in (np.eye(tasks), np.ones((tasks, tasks))):
        D = phi @ start @ phi.T
        own = np.trace(D) / tasks
        ends.append((own, (D.sum() / tasks - own) / (tasks - 1)))
    alone, equal = np.array(ends)  # from variance 1 and covariance 0, and from both 1
    return float(np.abs(np.linalg.eigvals(np.stack([alone, equal - alone], axis=1))).max())


def iid_losses(differences: ArrayLike, coupled: ArrayLike, epochs: int) -> Floats:
    """Expected losses when every episode draws its task independently, for any Gram matrix (section 11).

    ``D <- D - (C^T D + D C)/T + C^T diag(D) C / T``: the mean of an episode over its task.

    Args:
        differences: D, shape ``(T, T)`` (see `toymodel.difference_moments`).
        coupled: C, shape ``(T, T)`` (see `toymodel.coupling`).
        epochs: E, of T episodes each.

    Returns:
        ``1/2 D_jj``, shape ``(1 + E*T, T)``; the online loss of an episode is the mean of the row before it.
    """
    D, C = np.array(differences, dtype=np.float64), np.asarray(coupled, dtype=np.float64)
    if D.ndim != 2 or D.shape != C.shape or D.shape[0] != D.shape[1] or epochs < 1:
        raise InputError(f"moments of shape {D.shape}, a coupling of shape {C.shape}, {epochs} epochs",
                         expected="both (T, T), and at least 1 epoch", fix="iid_losses(D, C, 5)")  # fmt: skip
    tasks = len(C)
    rows = [np.diag(D) / 2]
    for _ in range(epochs * tasks):
        change = C.T @ D
        D += ((C.T * np.diag(D)) @ C - change - change.T) / tasks
        rows.append(np.diag(D) / 2)
    return np.array(rows)


def _iid(a: float, b: float, tasks: int, epochs: int, own: float, common: float) -> Floats:
    """Mean losses of `iid_losses` for exchangeable tasks, shape ``(1 + E*T,)``: two numbers tell D."""
    g, part = 1 - a - b, 1 / tasks
    means = [own / 2]
    for _ in range(epochs * tasks):
        mixed = common - b * own
        other = common - 2 * b * common + b * b * own
        own, common = (
            part * g * g * own + (1 - part) * (own - 2 * b * common + b * b * own),
            2 * part * g * mixed + (1 - 2 * part) * other,
        )
        means.append(own / 2)
    return np.array(means)


@dataclass(frozen=True)
class OrderCourse:
    """What training in one order comes to, in expectation.

    Attributes:
        order: name of the schedule.
        online: mean loss of the task about to be trained, by epoch, shape ``(E,)``.
        end: mean loss of all tasks after each epoch, shape ``(E,)``.
    """

    order: str
    online: Floats
    end: Floats

    @property
    def online_after_first(self) -> float:
        """Online loss over epochs 2 to E, the measure of the paper's second version."""
        return float(self.online[1:].mean())


def order_course(
    order: str | ArrayLike,
    slow: float,
    fast: float,
    tasks: int,
    epochs: int,
    *,
    variance_w: float = 0.0,
    similarity: float = 0.0,
    seed: int = 0,
) -> OrderCourse:
    """Expected online loss and loss at the end of every epoch, for any schedule (docs/theory.md, section 11).

    Args:
        order: a name in `toymodel.SCHEDULES`, or an order of one's own, shape ``(E, T)``. ``reshuffled`` and
            ``iid`` are averaged over all orders; other random ones are drawn by `seed`.
        slow: A.
        fast: B.
        tasks: T.
        epochs: E.
        variance_w: initial variance of w, per unit of that of each q_i.
        similarity: rho.
        seed: of schedules that are drawn.
    """
    a, b = (float(v) for v in gauge_shares(slow, fast, similarity))
    name = order if isinstance(order, str) else "given"
    if name == "reshuffled":
        every = reshuffled_losses(a, b, tasks, epochs, variance_w=variance_w)
        place = np.arange(tasks)
        return OrderCourse(name, every[:, place, place].mean(1), every[:, -1].mean(1))
    if name == "iid":
        means = _iid(a, b, tasks, epochs, 1 + variance_w, variance_w)
        return OrderCourse(name, means[:-1].reshape(epochs, tasks).mean(1), means[tasks::tasks])
    given = schedule(order, tasks, epochs, seed)
    losses = LossMatrix(share_losses(a, b, given, variance_w=variance_w), given)
    return OrderCourse(name, online_loss(losses), losses.values[tasks::tasks].mean(1))


def crossing_epoch(
    slow: float,
    fast: float,
    tasks: int,
    *,
    variance_w: float = 0.0,
    similarity: float = 0.0,
    longest: int = 512,
) -> float | None:
    """Epoch in which a fixed order's online loss comes to exceed the reshuffled one's (section 11).

    As `online_crossing` of the expected courses. About ``1.6/a + 1`` for the paper's model.

    Args:
        slow: A.
        fast: B.
        tasks: T.
        variance_w: initial variance of w, per unit of that of each q_i.
        similarity: rho.
        longest: epochs to look through.

    Returns:
        None where they don't cross.
    """
    epochs = 16
    while True:
        fixed, drawn = (
            order_course(kind, slow, fast, tasks, epochs, variance_w=variance_w, similarity=similarity).online
            for kind in ("cyclic", "reshuffled")
        )
        if (found := online_crossing(fixed, drawn)) is not None:
            return found
        if epochs >= longest or not all(0 < course[-1] < math.inf for course in (fixed, drawn)):
            return None
        epochs = min(2 * epochs, longest)
