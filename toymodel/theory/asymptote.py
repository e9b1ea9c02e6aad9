"""What cyclic training comes to after many epochs: the recovery score approached, its range and how fast.

Theory in docs/theory.md, section 8; the closed form for orthogonal data is `toymodel.ring_recovery`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError
from toymodel.base.words import arg
from toymodel.measures.losses import cyclic_order
from toymodel.measures.recovery import RecoveryScore, score_of
from toymodel.moments import moment_losses
from toymodel.theory.spectrum import (
    EQUAL,
    coupling,
    difference_losses,
    difference_moments,
    difference_operator,
    epoch_order,
)

__all__ = ["Asymptote", "asymptotics", "epochs_until", "recovery_course"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
# An epoch that multiplies losses by less solves every task, up to rounding.
_NOTHING = 1e-12
# Phases at which the range of an asymptotic score is read; the score is nearly a sine in the phase.
_PHASES = 720
# Epochs of a course that are followed at once, and the part of the losses that must be left at their end.
_MOST, _KEPT = 16, 1e-6


@dataclass(frozen=True)
class Asymptote:
    """What cyclic training comes to after many epochs.

    Attributes:
        score: the recovery score approached, with the dominant pair's losses averaged over its phase; or why
            there is none.
        low: the smallest score that training swings to as the pair turns from epoch to epoch; NaN without a
            score, or where several modes share the lead.
        high: the largest.
        eigenvalue: the epoch's dominant eigenvalue (of the pair, the one above the real axis).
        decay: factor of the losses per epoch, its modulus squared.
        ratio: modulus of the next pair's eigenvalues over the dominant one's; 0 where there is none.
    """

    score: RecoveryScore
    low: float
    high: float
    eigenvalue: complex
    decay: float
    ratio: float

    def epochs(self, tolerance: float = 0.01) -> float:
        """Epochs until the other modes' part in the losses has fallen by `tolerance` against the dominant's.

        ``ln(tolerance) / (2 ln ratio)`` (docs/theory.md, section 8); infinity for a tie. Products of the
        dominant mode with another fall by the root of that only; averaged over tasks they nearly vanish.
        """
        if not 0 < tolerance < 1:
            raise InputError(
                arg("tolerance", tolerance), expected="between 0 and 1", fix=arg("tolerance", 0.01)
            )
        if self.ratio >= 1:
            return math.inf
        return math.log(tolerance) / (2 * math.log(self.ratio)) if self.ratio > 0 else 0.0


def asymptotics(
    gram: ArrayLike,
    slow: ArrayLike,
    fast: ArrayLike,
    *,
    order: ArrayLike | None = None,
    moments: ArrayLike | None = None,
) -> Asymptote:
    """Recovery score that cyclic training approaches, and how fast, for any Gram matrix (section 8).

    Once one pair of eigenvalues dominates, D is ``Re(v v^H)`` up to scale, v the eigenvector, averaged over
    the phase in which the pair turns; the score follows from two epochs of losses started there. What the
    average leaves out, a term that turns twice as fast and whose size the initial moments set, gives the
    range of the scores.

    Args:
        gram: G, shape ``(T, T)``.
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.
        order: tasks of the epoch, shape ``(T,)``; 0..T-1 if None.
        moments: S_0 of (q_1..q_T, w), shape ``(T+1, T+1)``; independent q of equal size and w = 0 if None. It
            sets `low` and `high`, and decides where several modes share the lead (as with linearly
            dependent data, whose losses do not all vanish).
    """
    C = coupling(gram, slow, fast)
    epoch = epoch_order(order, len(C))
    if len(np.unique(epoch)) < len(C):
        raise InputError(
            "an epoch that leaves tasks out",
            expected="every task once",
            fix="order=None for 0..T-1",
        )
    values, vectors = np.linalg.eig(difference_operator(gram, slow, fast, epoch))
    rank = np.lexsort((-values.imag, np.round(-np.abs(values), 12)))
    values, vectors = values[rank].astype(np.complex128), vectors[:, rank].astype(np.complex128)
    moduli = np.abs(values)
    leading = moduli >= (1 - EQUAL) * moduli[0]
    rest = moduli[~leading]
    single = int(leading.sum()) == (2 if abs(values[0].imag) > EQUAL * moduli[0] else 1)
    ratio = float(rest[0] / moduli[0]) if len(rest) and moduli[0] > 0 else 0.0

    def none(reason: str, apart: float = ratio) -> Asymptote:
        score = RecoveryScore(math.nan, reason)
        return Asymptote(score, math.nan, math.nan, complex(values[0]), float(moduli[0] ** 2), apart)

    if moduli[0] > 1 + 1e-9:
        return none("training diverges: the rate is past the stability limit")
    if moduli[0] ** 2 < _NOTHING:
        return none("one epoch solves every task: nothing is left to recover")
    if not single and moments is None:
        return none("no single pair of modes dominates: the initial weights decide", 1.0)
    start = np.eye(len(C)) if moments is None else difference_moments(moments)

    def losses(D: Floats) -> Floats:
        """Losses at lag 0..T-1 since its visit, for every task: from its visit in one epoch to the next."""
        rows = difference_losses(D, C, np.tile(epoch, (2, 1)))
        visit = np.argsort(epoch)
        return rows[1 + visit[:, None] + np.arange(len(C)), np.arange(len(C))[:, None]]

    if not single:
        score = _score(losses(_leading_moments(values, vectors, leading, start)))
        return Asymptote(score, math.nan, math.nan, complex(values[0]), float(moduli[0] ** 2), 1.0)
    v, dual = vectors[:, 0], np.linalg.inv(vectors)[0]
    mean = losses(np.outer(v, v.conj()).real)
    score = _score(mean)
    low = high = score.value
    if abs(values[0].imag) > EQUAL * moduli[0]:  # one real eigenvalue does not turn
        turning = np.outer(v, v)
        cosine, sine = losses(turning.real), losses(turning.imag)
        size = abs(dual @ start @ dual) / (dual @ start @ dual.conj()).real
        angles = np.linspace(0, 2 * np.pi, _PHASES, endpoint=False)
        swing = [_score(mean + size * (np.cos(p) * cosine - np.sin(p) * sine)).value for p in angles]
        low, high = float(np.min(swing)), float(np.max(swing))
    return Asymptote(score, low, high, complex(values[0]), float(moduli[0] ** 2), ratio)


def _score(losses: Floats) -> RecoveryScore:
    """Paper eq. 1 from losses by task and lag."""
    return score_of(*(float(part.mean()) for part in (losses[:, 0], losses.max(1), losses[:, -1])))


def _leading_moments(values: Complexes, vectors: Complexes, leading: NDArray[np.bool_], D: Floats) -> Floats:
    """D on the leading modes: cross terms of different eigenvalues turn, and average to nothing."""
    leaders = values[leading]
    duals = np.linalg.inv(vectors)
    total = np.zeros(D.shape)
    left = list(range(len(leaders)))
    columns, rows = vectors[:, leading], duals[leading]
    while left:
        same = [k for k in left if abs(leaders[k] - leaders[left[0]]) <= 10 * EQUAL]
        project = columns[:, same] @ rows[same]
        total += (project @ D @ project.conj().T).real
        left = [k for k in left if k not in same]
    return total


def recovery_course(
    gram: ArrayLike,
    slow: ArrayLike,
    fast: ArrayLike,
    epochs: int,
    *,
    moments: ArrayLike | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[RecoveryScore]:
    """Recovery scores of epochs 1..E-1 of the expected losses, cyclic order (docs/theory.md, section 8).

    Args:
        gram: G, shape ``(T, T)``.
        slow: A by task, scalar or ``(T,)``.
        fast: B by task, likewise.
        epochs: E, at least 2.
        moments: S_0 of (q_1..q_T, w); independent q of equal size and w = 0 if None.
        progress: called with the number of epochs that were just followed.
    """
    if epochs < 2:
        raise InputError(
            arg("epochs", epochs), expected="at least 2, so that tasks return", fix=arg("epochs", 7)
        )
    C = coupling(gram, slow, fast)
    tasks = len(C)
    phi = difference_operator(gram, slow, fast)
    D = np.eye(tasks) if moments is None else difference_moments(moments)
    block = _block(phi)
    ahead = np.linalg.matrix_power(phi, block)
    a, b = (np.broadcast_to(np.asarray(v, dtype=np.float64), tasks) for v in (slow, fast))
    scores: list[RecoveryScore] = []
    while len(scores) < epochs - 1:
        count = min(block, epochs - 1 - len(scores))
        # Scores don't see the scale; losses of hundreds of epochs would leave the floating-point range.
        size = np.abs(D).max()
        D = D / size if size > 0 else D
        S = np.zeros((tasks + 1, tasks + 1))  # the same differences, from w = 0
        S[:tasks, :tasks] = (D + D.T) / 2
        order = cyclic_order(tasks, count + 1)
        losses = moment_losses(S, a[order], b[order], order, gram=gram)
        scores += _cyclic_scores(losses, count)
        D = ahead @ D @ ahead.T
        if progress is not None:
            progress(count)
    return scores


def _block(phi: Floats) -> int:
    """Epochs followed at once: few enough that losses stay far above the rounding of the first."""
    decay = float(np.abs(np.linalg.eigvals(phi)).max()) ** 2
    if not 0 < decay < 1:
        return 1 if decay <= 0 else _MOST
    return int(np.clip(math.log(_KEPT) / math.log(decay), 1, _MOST))


def _cyclic_scores(losses: Floats, count: int) -> list[RecoveryScore]:
    """`recovery_scores` of a cyclic order, all intervals at once."""
    tasks = losses.shape[1]
    task = np.arange(tasks)
    start, scores = float(losses[0].max()), []
    for n in range(count):
        # From right after the visit in epoch n to right before that in the next.
        rows = 1 + n * tasks + task[:, None] + task
        part = losses[rows, task[:, None]]
        after, peak, before = (float(v.mean()) for v in (part[:, 0], part.max(1), part[:, -1]))
        scores.append(score_of(after, peak, before, start))
    return scores


def epochs_until(scores: list[RecoveryScore], target: float, tolerance: float = 0.01) -> int | None:
    """First epoch from which all scores stay within `tolerance` of `target`; None if the last is outside.

    Args:
        scores: of epochs 1, 2, ... (paper eq. 1), such as `recovery_course` (docs/theory.md, section 8).
        target: such as the score of `asymptotics`.
        tolerance: largest distance.
    """
    inside = [bool(score) and abs(score.value - target) <= tolerance for score in scores]
    if not inside or not inside[-1]:
        return None
    return 1 + max((n for n, good in enumerate(inside, 1) if not good), default=0)
