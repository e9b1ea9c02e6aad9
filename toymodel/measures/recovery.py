"""Every measure on a loss matrix: recovery scores, the shift-averaged curve, savings and forgetting.

A task's *visits* are the episodes that train it. Interval n of a task (n = 1, 2, ...) runs from right
after its n-th visit to right before its (n+1)-th; in the paper's cyclic schedule it is T rows long. All
measures follow visits, so they hold for schedules of any order, shuffled and IID ones included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toymodel.base.errors import InputError
from toymodel.base.words import arg
from toymodel.measures.losses import LossMatrix, takes_losses

__all__ = [
    "Intervals",
    "RecoveryScore",
    "ShiftAveraged",
    "forgetting",
    "intervals",
    "recovery_score",
    "recovery_score_per_task",
    "recovery_scores",
    "savings",
    "score_of",
    "shift_averaged",
    "visits",
]


@dataclass(frozen=True)
class RecoveryScore:
    """A recovery score, or the reason why there is none.

    Attributes:
        value: paper eq. 1; NaN where it has no meaning, else between 0 and 1.
        reason: empty where the value has a meaning, else why not.
    """

    value: float
    reason: str = ""

    def __bool__(self) -> bool:
        return not self.reason

    def __str__(self) -> str:
        return f"{self.value:.3f}" if self else f"no score ({self.reason})"


@dataclass(frozen=True)
class Intervals:
    """What happened to each task between its n-th and (n+1)-th visit.

    Attributes:
        task: int, shape ``(K,)``: the tasks that have both visits.
        after: loss right after the n-th visit (the paper's l_after(n-1)), shape ``(K,)``.
        peak: largest loss of the interval (l_max(n)), shape ``(K,)``.
        peak_row: row of the loss matrix where the peak stands, shape ``(K,)``.
        before: loss right before the (n+1)-th visit (l_before(n)), shape ``(K,)``.
    """

    task: NDArray[np.int64]
    after: NDArray[np.float64]
    peak: NDArray[np.float64]
    peak_row: NDArray[np.int64]
    before: NDArray[np.float64]


@dataclass(frozen=True)
class ShiftAveraged:
    """Losses of all tasks aligned so that lag 0 is right before a task's first visit.

    Attributes:
        lag: int, shape ``(L,)``, episodes since that moment.
        mean: average over tasks, shape ``(L,)``.
        deviation: standard deviation over tasks (ddof 1; 0 for a single task), shape ``(L,)``.
        count: tasks averaged at that lag, shape ``(L,)``.
    """

    lag: NDArray[np.int64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    count: NDArray[np.int64]


@takes_losses
def visits(losses: LossMatrix) -> list[NDArray[np.int64]]:
    """For each task, the rows of the loss matrix right *before* each of its visits (row+1 is right after)."""
    flat = losses.order.ravel()
    return [np.flatnonzero(flat == task) for task in range(losses.tasks)]


@takes_losses
def intervals(losses: LossMatrix, n: int) -> Intervals:
    """The n-th interval (n = 1, 2, ...) of every task that was visited more than n times.

    Raises:
        InputError: when n < 1 or no task has an (n+1)-th visit.
    """
    if n < 1:
        raise InputError(f"interval n = {n}", expected="n >= 1", fix="use n = 1 for the first recovery")
    values = losses.values
    rows = [
        (task, before[n - 1] + 1, before[n]) for task, before in enumerate(visits(losses)) if len(before) > n
    ]
    if not rows:
        raise InputError(
            f"interval n = {n} of a run with {losses.epochs} epoch(s)",
            expected=f"a task that is trained at least {n + 1} times",
            fix="train for more epochs: " + arg("epochs", n + 1),
        )
    task = np.array([r[0] for r in rows], dtype=np.int64)
    first = np.array([r[1] for r in rows], dtype=np.int64)
    last = np.array([r[2] for r in rows], dtype=np.int64)
    peak_row = np.array([a + int(np.argmax(values[a : b + 1, t])) for t, a, b in rows], dtype=np.int64)
    return Intervals(task, values[first, task], values[peak_row, task], peak_row, values[last, task])


@takes_losses
def recovery_score(losses: LossMatrix, n: int) -> RecoveryScore:
    """Recovery score of epoch n (paper eq. 1): the share of the epoch's forgetting undone before the return.

    With means over tasks taken first (a ratio of means, not a mean of ratios),
    ``RS(n) = (l_max(n) - l_before(n)) / (l_max(n) - l_after(n-1))``.

    Args:
        losses: the loss matrix.
        n: 1 for the stretch between the first and the second visit, up to E - 1.

    Returns:
        The score, or NaN with a reason: nothing was forgotten (the loss only falls through the epoch, the
        paper's footnote 1), the loss before the return lies below that right after training, where the ratio
        exceeds 1 and measures transfer between tasks rather than recovery, or the losses have sunk to the
        rounding of those before training.
    """
    part = intervals(losses, n)
    start = float(losses.values[0].max())
    return score_of(float(part.after.mean()), float(part.peak.mean()), float(part.before.mean()), start)


@takes_losses
def recovery_score_per_task(losses: LossMatrix, n: int) -> list[RecoveryScore]:
    """Paper eq. 1 for each task by itself, in task order; tasks without an (n+1)-th visit say so."""
    part = intervals(losses, n)
    scores = [RecoveryScore(math.nan, f"trained fewer than {n + 1} times")] * losses.tasks
    for task, after, peak, before in zip(part.task, part.after, part.peak, part.before, strict=True):
        scores[task] = score_of(float(after), float(peak), float(before), float(losses.values[0].max()))
    return scores


@takes_losses
def recovery_scores(losses: LossMatrix) -> list[RecoveryScore]:
    """Scores of epochs 1 to E-1 (or to the largest number of visits less one); empty for a single epoch."""
    most = max(len(v) for v in visits(losses))
    return [recovery_score(losses, n) for n in range(1, most)]


def score_of(after: float, peak: float, before: float, start: float = 0.0) -> RecoveryScore:
    """Paper eq. 1 from its three losses: ``(peak - before) / (peak - after)``, or NaN with the reason.

    Args:
        after: loss right after the n-th visit.
        peak: largest loss until the next.
        before: loss right before the next.
        start: size of the losses before training, whose rounding the others carry.
    """
    forgotten = peak - after
    if peak <= 64 * np.finfo(np.float64).eps * start:
        return RecoveryScore(math.nan, "nothing is left to recover: the losses have sunk to rounding")
    # Losses carry rounding of their own size: a difference below it is no forgetting.
    if forgotten <= 8 * np.finfo(np.float64).eps * max(abs(peak), abs(after)):
        return RecoveryScore(math.nan, "nothing was forgotten: the loss only falls through the epoch")
    if before < after:
        return RecoveryScore(
            math.nan,
            "the loss before the return is below the loss right after training: transfer, not recovery",
        )
    return RecoveryScore((peak - before) / forgotten)


@takes_losses
def shift_averaged(losses: LossMatrix) -> ShiftAveraged:
    """The paper's shift-averaged loss (Fig. 1b): every task's curve moved so that its first visit is at 0.

    Lag 0 is right before the first visit and lag 1 right after it; in a cyclic schedule the visits of all
    tasks stand at lags 0, T, 2T, ... Lags reached by fewer tasks than the others are kept, with their count.
    Tasks that were never visited are left out.
    """
    starts = [(task, int(rows[0])) for task, rows in enumerate(visits(losses)) if len(rows)]
    rows = losses.values.shape[0]
    length = rows - min(start for _, start in starts)
    table = np.full((len(starts), length), np.nan)
    for line, (task, start) in enumerate(starts):
        table[line, : rows - start] = losses.values[start:, task]
    count = np.isfinite(table).sum(axis=0)
    mean = np.nansum(table, axis=0) / count
    unit = float(np.abs(losses.values).max()) or 1.0  # in which every square is a number
    square = np.nansum(((table - mean) / unit) ** 2, axis=0)
    deviation = unit * np.sqrt(square / np.maximum(count - 1, 1))
    return ShiftAveraged(np.arange(length), mean, deviation, count)


@takes_losses
def forgetting(losses: LossMatrix, n: int) -> NDArray[np.float64]:
    """Rise from right after the n-th visit to the peak before the next, per task with both; loss units."""
    part = intervals(losses, n)
    return part.peak - part.after


@takes_losses
def savings(losses: LossMatrix, n: int) -> NDArray[np.float64]:
    """Ebbinghaus' savings at the (n+1)-th visit: the part of what the first taught that is not relearned.

    ``1 - (l_before(n) - l_after(n)) / (l_before(0) - l_after(0))``, per task with more than n visits: 1 when
    the (n+1)-th visit has nothing left to learn, 0 when it learns as much as the first did, NaN where the
    first visit taught nothing.

    Args:
        losses: the loss matrix.
        n: 1 for the second visit, and so on.
    """
    part = intervals(losses, n)
    rows = visits(losses)
    first = np.array([rows[t][0] for t in part.task], dtype=np.int64)
    again = np.array([rows[t][n] for t in part.task], dtype=np.int64)
    values = losses.values
    learned_first = values[first, part.task] - values[first + 1, part.task]
    learned_again = values[again, part.task] - values[again + 1, part.task]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(learned_first > 0, 1 - learned_again / learned_first, np.nan)
