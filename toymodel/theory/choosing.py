"""Choosing an order: which fixed order of similar tasks costs least, in expectation (docs/theory.md, 11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError
from toymodel.base.words import arg
from toymodel.theory.spectrum import coupling, difference_moments

__all__ = ["EXACT", "OrderChoice", "choose_order", "order_values"]

Floats = NDArray[np.float64]
Objective = Literal["final", "online"]

EXACT = 8
"""Tasks up to which all orders are tried: 8! = 40,320."""
# Of the search: starting orders, and values that all of them together may compute.
_STARTS, _MOST, _RANDOM = 12, 60_000, 500


@dataclass(frozen=True)
class OrderChoice:
    """The order that costs least, or most.

    Attributes:
        order: tasks, shape ``(T,)``; gone round until the budget is spent.
        objective: ``final`` or ``online``.
        value: its expected loss.
        exact: whether all orders were tried; else it is the best that a search found.
        random_mean: expected loss of a random order, the mean over `random`.
        random_deviation: standard deviation over them (ddof 1): how much the order matters at all.
        random: expected losses of random orders, ascending.
        evaluated: orders whose expected loss was computed.
    """

    order: NDArray[np.int64]
    objective: Objective
    value: float
    exact: bool
    random_mean: float
    random_deviation: float
    random: Floats
    evaluated: int

    @property
    def gain(self) -> float:
        """Part of a random order's expected loss that this one saves; negative where it costs more."""
        return 1 - self.value / self.random_mean if self.random_mean > 0 else 0.0


def check_gram(gram: ArrayLike) -> Floats:
    """A Gram matrix, or cosines, as a symmetric array.

    Raises:
        InputError: for a matrix that is none: misshaped, not finite, not symmetric, or with an eigenvalue
            below 0.
    """
    G = np.asarray(gram, dtype=np.float64)
    coupling(G, 0.5, 0.5)  # judges shape, numbers and diagonal
    size = float(np.abs(G).max())
    if not np.allclose(G, G.T, rtol=0, atol=1e-6 * size):
        i, j = np.unravel_index(int(np.abs(G - G.T).argmax()), G.shape)
        raise InputError(f"a matrix with {G[i, j]:.4g} at [{i}, {j}] and {G[j, i]:.4g} at [{j}, {i}]",
                         expected="a Gram matrix, which is symmetric", fix="(G + G.T) / 2")  # fmt: skip
    G = (G + G.T) / 2
    least = float(np.linalg.eigvalsh(G)[0])
    if least < -1e-6 * size:
        raise InputError(f"a matrix with the eigenvalue {least:.3g}",
                         expected="a Gram matrix: inner products x_i . x_j, no eigenvalue below 0",
                         fix="gram = x @ x.T for data x of shape (T, N)")  # fmt: skip
    return G


def order_values(
    orders: ArrayLike,
    gram: ArrayLike,
    slow: ArrayLike,
    fast: ArrayLike,
    budget: int,
    *,
    objective: Objective = "final",
    variance_w: float = 0.0,
    moments: ArrayLike | None = None,
) -> Floats:
    """Expected loss of orders that are gone round and round (docs/theory.md, section 11).

    Args:
        orders: permutations of the tasks, shape ``(n, T)``.
        gram: G, shape ``(T, T)``.
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.
        budget: episodes.
        objective: ``final``, the mean loss of all tasks after the last episode, or ``online``, the mean loss
            of the task about to be trained over all episodes.
        variance_w: initial variance of w, per unit of that of each q_i.
        moments: S_0 of (q_1..q_T, w) in place of independent q of equal size.

    Returns:
        shape ``(n,)``.
    """
    from toymodel.kernels.ordering import values_kernel

    C, D = _problem(gram, slow, fast, budget, objective, variance_w, moments)
    tried = np.ascontiguousarray(np.atleast_2d(np.asarray(orders)), dtype=np.int64)
    if tried.shape[1:] != (len(C),) or not (np.sort(tried, axis=1) == np.arange(len(C))).all():
        raise InputError(f"orders of shape {tried.shape} that miss tasks or repeat them",
                         expected=f"permutations of 0..{len(C) - 1}",
                         fix=f"numpy.random.default_rng(0).permutation({len(C)})")  # fmt: skip
    out = np.empty(len(tried))
    values_kernel()(D, C, tried, budget, objective == "online", out)
    return out


def choose_order(
    gram: ArrayLike,
    slow: ArrayLike,
    fast: ArrayLike,
    budget: int,
    *,
    objective: Objective = "final",
    worst: bool = False,
    variance_w: float = 0.0,
    moments: ArrayLike | None = None,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> OrderChoice:
    """The fixed order of least expected loss: exactly for few tasks, by local search for more (section 11).

    The search walks downhill from random orders by exchanging two tasks, reversing a stretch and moving a
    task, and keeps the best end. Uniformly similar tasks have no better order: all cost the same.

    Args:
        gram: G, shape ``(T, T)``.
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.
        budget: episodes; T to the epoch, the last epoch is cut where it does not divide.
        objective: as `order_values`.
        worst: look for the most expensive order instead.
        variance_w: as `order_values`.
        moments: likewise.
        seed: of the random orders.
        progress: called with the number of orders just evaluated.

    Raises:
        InputError: for a matrix that is no Gram matrix, shares that diverge, or an empty budget.
    """
    from toymodel.kernels.ordering import exhaustive_kernel, search_kernel

    C, D = _problem(check_gram(gram), slow, fast, budget, objective, variance_w, moments)
    tasks, sign, online = len(C), -1.0 if worst else 1.0, objective == "online"
    rng = np.random.default_rng(seed)
    drawn = np.array([rng.permutation(tasks) for _ in range(_RANDOM)], dtype=np.int64)
    options = {"objective": objective, "variance_w": variance_w, "moments": moments}
    random = order_values(drawn, gram, slow, fast, budget, **options)  # type: ignore[arg-type]
    if not np.isfinite(random).all() or random.max() > 1e6 * D.max():
        raise InputError(
            "an order whose losses grow without bound",
            expected="shares inside the stability limit",
            fix="a smaller rate: reawaken toy analyze shows the limit",
        )
    best, evaluated = np.arange(tasks), len(drawn)
    if tasks <= EXACT:
        value = sign * exhaustive_kernel()(D, C, budget, online, sign, best)
        evaluated += int(np.prod(np.arange(1, tasks + 1)))
    else:
        moves = _moves(tasks)
        value, spent = sign * np.inf, 0
        ranked = drawn[np.argsort(sign * random)[:_STARTS]]
        for start in ranked:
            order = start.copy()
            most = (_MOST - spent) // 2 + len(moves)
            walked = search_kernel()(D, C, budget, online, sign, rng.permutation(moves), order, most)
            spent += walked
            if progress is not None:
                progress(walked)
            (found,) = order_values(order, gram, slow, fast, budget, **options)  # type: ignore[arg-type]
            if sign * found < sign * value:
                value, best = float(found), order
            if spent >= _MOST:
                break
        evaluated += spent
    return OrderChoice(
        best, objective, float(value), tasks <= EXACT, float(random.mean()), float(random.std(ddof=1)),
        np.sort(random), evaluated,
    )  # fmt: skip


def _moves(tasks: int) -> NDArray[np.int64]:
    """Exchanges (0), reversals (1) and moves of one task (2), shape ``(n, 3)``."""
    pairs = np.argwhere(np.triu(np.ones((tasks, tasks), dtype=bool), 1))
    both = np.argwhere(~np.eye(tasks, dtype=bool))
    kinds = [(0, pairs), (1, pairs), (2, both)]
    return np.concatenate([np.hstack([np.full((len(p), 1), kind), p]) for kind, p in kinds]).astype(np.int64)


def _problem(
    gram: ArrayLike, slow: ArrayLike, fast: ArrayLike, budget: int, objective: str, variance_w: float,
    moments: ArrayLike | None,
) -> tuple[Floats, Floats]:  # fmt: skip
    """C and D_0."""
    C = np.ascontiguousarray(coupling(gram, slow, fast))
    if budget < 1:
        raise InputError(
            f"a budget of {budget} episodes", expected="at least 1", fix=arg("budget", 5 * len(C))
        )
    if objective not in ("final", "online"):
        raise InputError(
            arg("objective", objective), expected="'final' or 'online'", fix=arg("objective", "final")
        )
    D = np.eye(len(C)) + variance_w if moments is None else difference_moments(moments)
    if D.shape != C.shape:
        raise InputError(
            f"moments of {len(D)} tasks", expected=f"those of {len(C)}", fix=arg("moments", None)
        )
    return C, np.ascontiguousarray(D)
