"""Closed forms for orthogonal or uniformly similar data, where cyclic training is a ring (docs/theory.md).

An episode on task i has the residual r = q_i - w and does q_i <- q_i - A r, w <- w + B r, with the slow share
A and the fast share B (`toymodel.shares`); the paper's model (eqs. 4, 5) is A = rate * ||x||^2, B = 1 - A.
Uniform similarity between data points only changes the shares (`gauge_shares`). For any Gram matrix see
`toymodel.theory.spectrum`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError
from toymodel.base.numbers import whole
from toymodel.base.words import arg
from toymodel.measures.recovery import RecoveryScore, score_of

__all__ = [
    "energy",
    "gauge_shares",
    "lag_losses",
    "mode_ratio",
    "ring_polynomial",
    "ring_recovery",
    "ring_roots",
    "ring_stable",
    "slow_step_limit",
    "spread",
    "stability_margin",
    "transport",
    "turns_per_epoch",
]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
# Roots nearer than this in modulus share the lead for longer than any run lasts.
_TIE = 1e-9


def gauge_shares(slow: ArrayLike, fast: ArrayLike, similarity: ArrayLike) -> tuple[Floats, Floats]:
    """Shares of the orthogonal problem that has exactly the same losses (docs/theory.md, section 4).

    Losses see differences q_j - w only, so what moves all q_j and w alike moves no loss. If task i is equally
    similar to all others, G_ij/G_ii = h_i, then ``A' = A (1 - h_i)`` and ``B' = B + A h_i``.

    Args:
        slow: A, any shape.
        fast: B, likewise.
        similarity: h, a scalar or one per task.
    """
    a, b, h = (np.asarray(v, dtype=np.float64) for v in (slow, fast, similarity))
    return a * (1 - h), b + a * h


def ring_stable(slow: ArrayLike, fast: ArrayLike, tasks: int) -> NDArray[np.bool_]:
    """Whether no loss grows: A >= 0, A + B <= 2 and A + B T >= 0 (docs/theory.md, section 6).

    The `energy` proves it for every order of the tasks. On the edge A + B = 2 losses neither grow nor die
    out.

    Args:
        slow: A, any shape.
        fast: B, likewise; the two are broadcast.
        tasks: T.
    """
    return stability_margin(slow, fast, tasks) >= 0


def stability_margin(slow: ArrayLike, fast: ArrayLike, tasks: int) -> Floats:
    """Smallest of A, 2 - A - B and B + A/T: negative where training diverges (docs/theory.md, section 6).

    Args:
        slow: A, any shape.
        fast: B, likewise; the two are broadcast.
        tasks: T.
    """
    count = _count(tasks)
    a, b = np.asarray(slow, dtype=np.float64), np.asarray(fast, dtype=np.float64)
    return np.minimum(np.minimum(a, 2 - a - b), b + a / count)


def energy(q: ArrayLike, w: ArrayLike, slow: float, fast: float) -> float:
    """``B sum_j ||q_j - c||^2 + A ||w - c||^2`` about the consensus c (docs/theory.md, section 6).

    An episode with residual r lowers it by ``A B (2 - A - B) ||r||^2``, whichever task it trains.

    Args:
        q: solution vectors, shape ``(T, M)``.
        w: fast weights, shape ``(M,)``.
        slow: A.
        fast: B, with A + B T not 0.
    """
    solutions, weights = np.asarray(q, dtype=np.float64), np.asarray(w, dtype=np.float64)
    a, b = _share("slow", slow), _share("fast", fast)
    total = a + b * _count(len(solutions))
    if total == 0:
        raise InputError(
            "A + B T = 0", expected="shares inside the stability region", fix="a smaller slow share"
        )
    middle = (b * solutions.sum(0) + a * weights) / total
    return float(b * np.square(solutions - middle).sum() + a * np.square(weights - middle).sum())


def slow_step_limit(tasks: int, *, similarity: float = 0.0, fast_rate: float = 1.0) -> float:
    """Largest stable a = rate * ||x||^2, whatever the number of inner steps (docs/theory.md, section 6).

    With one full fast step (the paper's eq. 5) it is T/(T-1) for orthogonal data and T/((T-1)(1-rho)) for
    uniform similarity rho. In general it is the smaller of ``eta T / (eta T - 1 - rho (T-1))``, where the
    consensus of all tasks is lost, and ``1 + 1/(1 - eta)``, where the inner steps themselves diverge.

    Args:
        tasks: T.
        similarity: rho = x_i.x_j / ||x||^2, from -1/(T-1) to 1.
        fast_rate: eta in (0, 1].

    Returns:
        The limit; infinity where there is none.
    """
    count = _count(tasks)
    if not -1 / (count - 1) <= similarity <= 1:
        low = -1 / (count - 1)
        raise InputError(
            arg("similarity", similarity),
            expected=f"from {low:.3g} to 1 for " + arg("T", count),
            fix=arg("similarity", 0),
        )
    if not 0 < fast_rate <= 1:
        raise InputError(
            arg("fast_rate", fast_rate), expected="0 < fast_rate <= 1", fix=arg("fast_rate", 1.0)
        )
    room = fast_rate * count - 1 - similarity * (count - 1)
    consensus = fast_rate * count / room if room > 0 else math.inf
    inner = 1 + 1 / (1 - fast_rate) if fast_rate < 1 else math.inf
    return min(consensus, inner)


def ring_polynomial(slow: float, fast: float, tasks: int) -> Floats:
    """``mu^{T+1} - (1-B) mu^T - (1-A) mu + (1-A-B)``, highest power first, shape ``(T+2,)``.

    Its roots are the factors by which a pattern q^(s) = Q mu^s, w^(s) = W mu^s changes from one episode to
    the next; mu^T are the epoch operator's eigenvalues (docs/theory.md, section 5). mu = 1 is always a root.
    """
    count = _count(tasks)
    a, b = _share("slow", slow), _share("fast", fast)
    polynomial = np.zeros(count + 2)
    # T = 1 would put two terms on one power; it is refused above.
    polynomial[[0, 1, count, count + 1]] = 1.0, b - 1, a - 1, 1 - a - b
    return polynomial


def ring_roots(slow: float, fast: float, tasks: int) -> Complexes:
    """The T roots of `ring_polynomial` besides mu = 1, largest modulus first (docs/theory.md, section 5).

    Consensus is divided out beforehand, exactly: what is left is
    ``mu^T + B (mu^{T-1} + ... + mu) - (1-A-B) = 0``.
    """
    count = _count(tasks)
    a, b = _share("slow", slow), _share("fast", fast)
    roots = np.roots(np.concatenate([[1.0], np.full(count - 1, b), [a + b - 1]])).astype(np.complex128)
    # Equal moduli sort by angle, so that a conjugate pair stands side by side, the positive angle first.
    return roots[np.lexsort((-roots.imag, np.round(-np.abs(roots), 12)))]


def mode_ratio(mu: ArrayLike, fast: float, tasks: int) -> Complexes:
    """W/Q of a mode, ``B mu^{1-T} / (mu - (1-B))`` (docs/theory.md, section 5).

    Q mu^s is the solution vector of the task that episode s has just trained, W mu^s the fast weights then.
    """
    root = np.asarray(mu, dtype=np.complex128)
    with np.errstate(divide="ignore", invalid="ignore"):
        return fast * root ** (1 - _count(tasks)) / (root - (1 - fast))


def lag_losses(mu: complex, fast: float, tasks: int) -> Floats:
    """Loss of a task d = 0..T-1 episodes after its visit, once a mode and its conjugate are all that is left.

    ``l(d) = |1 - (W/Q) mu^d|^2`` up to a common factor (docs/theory.md, section 8); shape ``(T,)``.
    """
    count = _count(tasks)
    # W/Q mu^d with the powers put together: mu^{1-T} alone overflows for a fast-decaying mode.
    powers = np.power(complex(mu), np.arange(1 - count, 1, dtype=np.float64))
    return np.abs(1 - fast * powers / (complex(mu) - (1 - fast))) ** 2


def ring_recovery(slow: float, fast: float, tasks: int) -> RecoveryScore:
    """Recovery score (paper eq. 1) that training approaches over many epochs (docs/theory.md, section 8).

    Args:
        slow: A.
        fast: B.
        tasks: T.

    Returns:
        The score of `lag_losses` of the dominant pair, or NaN with the reason why there is none: the losses
        diverge, one epoch leaves none, no single pair of modes dominates, or nothing is forgotten.
    """
    count = _count(tasks)
    if not ring_stable(_share("slow", slow), _share("fast", fast), count):
        return RecoveryScore(math.nan, "training diverges: the shares lie outside the stability region")
    roots = ring_roots(slow, fast, count)
    moduli = np.abs(roots)
    if moduli[0] < _TIE:
        return RecoveryScore(math.nan, "one epoch solves every task: nothing is left to recover")
    rivals = moduli[2 if roots[0].imag else 1 :]
    if len(rivals) and rivals[0] > (1 - _TIE) * moduli[0]:
        return RecoveryScore(math.nan, "no single pair of modes dominates: the initial weights decide")
    loss = lag_losses(complex(roots[0]), fast, count)
    return score_of(float(loss[0]), float(loss.max()), float(loss[-1]))


def transport(slow: float, fast: float, tasks: int | None = None) -> float:
    """Positions by which the pattern of the q moves along the ring in an epoch (docs/theory.md, section 7).

    Args:
        slow: A.
        fast: B.
        tasks: T for the value on a ring of T tasks, ``A / (B + A/T)``; None for many tasks, ``A/B``.
    """
    a, b = _share("slow", slow), _share("fast", fast)
    return _divide(a, b + (a / _count(tasks) if tasks is not None else 0.0))


def spread(slow: float, fast: float, tasks: int | None = None) -> float:
    """Variance by which the pattern widens in an epoch, in positions squared (docs/theory.md, section 7).

    Args:
        slow: A.
        fast: B.
        tasks: T for the value on a ring of T tasks, ``A B (2-A-B) / (B + A/T)^3``; None for many tasks,
            ``A (2-A-B) / B^2``.
    """
    a, b = _share("slow", slow), _share("fast", fast)
    if tasks is None:
        return _divide(a * (2 - a - b), b**2)
    return _divide(a * b * (2 - a - b), (b + a / _count(tasks)) ** 3)


def turns_per_epoch(slow: float, fast: float, tasks: int) -> float:
    """Turns of the fast weights around the ring's centre in an epoch, ``1 / (1 + A/(B T))``.

    The helix of the paper's Fig. 9: a little less than one, because the pattern itself moves on by
    `transport` positions meanwhile (docs/theory.md, section 7).
    """
    return 1 - transport(slow, fast, tasks) / _count(tasks)


def _divide(top: float, bottom: float) -> float:
    return top / bottom if bottom else math.copysign(math.inf, top) if top else math.nan


def _count(tasks: int) -> int:
    return whole("tasks", tasks, least=2, fix=25)


def _share(name: str, value: float) -> float:
    number = np.asarray(value, dtype=np.float64)
    if number.ndim or not np.isfinite(number):
        raise InputError(f"{name} share {value!r}", expected="one finite number", fix=f"{name}=0.3")
    return float(number)
