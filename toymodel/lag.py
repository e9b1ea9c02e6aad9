"""Loss by lag since the last visit: recovery that fluctuations common to all tasks cannot imitate.

The recovery score of the paper (eq. 1) takes each task's largest loss on the way, so a loss that merely goes
up and down for all tasks together scores too, and orders that never repeat score well above 0. In a cyclic
order every lag occurs once in every row: averaged by lag, whatever moves all tasks together cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toymodel.losses import LossMatrix

__all__ = ["LagProfile", "lag_profile"]


@dataclass(frozen=True)
class LagProfile:
    """Mean loss by the number of episodes since a task was last trained.

    Attributes:
        mean: at lags 0 (right after training) to T - 1 (right before it, in a cyclic order), shape ``(T,)``;
            NaN at a lag that never occurs.
        count: losses averaged at each lag, shape ``(T,)``.
    """

    mean: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def recovered(self) -> float:
        """Part of what is forgotten on average that is won back by lag T - 1; NaN if nothing is forgotten."""
        peak = float(np.nanmax(self.mean))
        lost = peak - float(self.mean[0])
        return (peak - float(self.mean[-1])) / lost if lost > 0 else float("nan")


def lag_profile(losses: LossMatrix, epoch: int = 1) -> LagProfile:
    """Average losses by lag.

    Args:
        losses: any order; lags of T and more, which only orders that do not repeat have, are left out.
        epoch: the first that counts, from 0. All tasks must have been trained before it.
    """
    tasks = losses.tasks
    total, count = np.zeros(tasks), np.zeros(tasks, dtype=np.int64)
    last = np.full(tasks, -1)
    for row, task in enumerate(losses.order.ravel(), start=1):
        last[task] = row
        lag = row - last
        seen = (last >= 0) & (lag < tasks)
        if row > epoch * tasks:
            np.add.at(total, lag[seen], losses.values[row, seen])
            np.add.at(count, lag[seen], 1)
    with np.errstate(invalid="ignore"):
        return LagProfile(total / count, count)
