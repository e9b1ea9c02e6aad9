"""Loss by lag since the last visit: recovery that fluctuations common to all tasks cannot imitate.

The recovery score of the paper (eq. 1) takes each task's largest loss on the way, so a loss that merely goes
up and down for all tasks together scores too, and orders that never repeat score well above 0. In a cyclic
order every lag occurs once in every row: averaged by lag, whatever moves all tasks together cancels. The mean
by lag is defined for every order; what is won back by a return only where returns come after T episodes (a
fixed order) or at random (the controls), not where an order repeats after two epochs or more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toymodel.measures.losses import LossMatrix, takes_losses
from toymodel.measures.schedules import period

__all__ = ["LagProfile", "lag_profile", "lags"]

Integers = NDArray[np.int64]


def lags(order: Integers) -> tuple[Integers, Integers]:
    """Visits so far and episodes since the last one (or since the start), for every row and document.

    Returns:
        Two arrays of shape ``(1 + E*T, T)``.
    """
    tasks = order.shape[1]
    count, last = np.zeros(tasks, dtype=np.int64), np.zeros(tasks, dtype=np.int64)
    visits, since = (
        np.zeros((1 + order.size, tasks), dtype=np.int64),
        np.zeros((1 + order.size, tasks), dtype=np.int64),
    )
    for row, task in enumerate(order.ravel(), start=1):
        count[task] += 1
        last[task] = row
        visits[row], since[row] = count, row - last
    return visits, since


@dataclass(frozen=True)
class LagProfile:
    """Mean loss by the number of episodes since a task was last trained.

    Attributes:
        mean: at lags 0 (right after training) to T - 1 (right before it, in a cyclic order), shape ``(T,)``;
            NaN at a lag that never occurs.
        count: losses averaged at each lag, shape ``(T,)``.
        reason: why nothing can be said of what is won back by a return; empty where it can.
    """

    mean: NDArray[np.float64]
    count: NDArray[np.int64]
    reason: str = ""

    @property
    def recovered(self) -> float:
        """Part of what is forgotten on average that is won back by lag T - 1.

        NaN if nothing is forgotten, if no task stays away for so long, or for a `reason`.
        """
        if self.reason or not self.count[0]:
            return float("nan")
        peak = float(np.nanmax(self.mean))
        lost = peak - float(self.mean[0])
        return (peak - float(self.mean[-1])) / lost if lost > 0 else float("nan")


@takes_losses
def lag_profile(losses: LossMatrix, epoch: int = 1) -> LagProfile:
    """Average losses by lag.

    Args:
        losses: any order; lags of T and more, which only orders that do not repeat have, are left out.
        epoch: the first that counts, from 0. All tasks must have been trained before it.
    """
    tasks = losses.tasks
    visits, since = lags(losses.order)
    counted = (visits > 0) & (since < tasks)
    counted[: 1 + epoch * tasks] = False
    count = np.bincount(since[counted], minlength=tasks)
    total = np.bincount(since[counted], weights=losses.values[counted], minlength=tasks)
    with np.errstate(invalid="ignore"):
        return LagProfile(total / count, count, _no_return(losses.order))


def _no_return(order: Integers) -> str:
    """Why lag T - 1 is not that of a return; empty for an order that repeats every epoch or not at all."""
    repeats = period(order)
    if repeats in (1, None):
        return ""
    return f"the order repeats after {repeats} epochs: tasks don't return after as many episodes as there are"
