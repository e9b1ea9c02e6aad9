"""Online loss and backward transfer: what a run pays on the way, and what later episodes do to earlier ones.

The *online loss* is that of the task about to be trained, before it is: what a learner pays that sees its
tasks one after another. It is the measure of the paper's second version. Both measures follow episodes, not
visits, so they hold for any order; tasks may be absent from an epoch or come twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.measures.losses import LossMatrix, takes_losses

__all__ = ["backward_transfer", "online_crossing", "online_loss", "online_losses"]

Floats = NDArray[np.float64]


@takes_losses
def online_losses(losses: LossMatrix) -> Floats:
    """Loss of the task that each episode trains, right before it does; loss units, shape ``(E, T)``."""
    flat = losses.order.ravel()
    found: Floats = losses.values[np.arange(flat.size), flat]
    return found.reshape(losses.order.shape)


@takes_losses
def online_loss(losses: LossMatrix) -> Floats:
    """Mean online loss by epoch (arXiv 2403.09613, second version); loss units, shape ``(E,)``.

    The first epoch's is that of tasks never trained; the paper compares orders over epochs 2 to 5.
    """
    mean: Floats = online_losses(losses).mean(1)
    return mean


def online_crossing(one: ArrayLike, other: ArrayLike) -> float | None:
    """Epoch in which one course of online losses comes to exceed another (docs/theory.md, section 11).

    Counted from 1 and interpolated between epochs in the logarithm of their ratio: the first whole epoch past
    it is the first that is worse. The first epoch does not count: its tasks are all new, in any order.

    Args:
        one: mean online loss by epoch, shape ``(E,)``.
        other: likewise, of as many epochs.

    Returns:
        None where it does not.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(np.asarray(one, dtype=np.float64) / np.asarray(other, dtype=np.float64))
    above = np.flatnonzero(ratio[1:] > 0) + 1
    if not len(above):
        return None
    k = int(above[0])
    before = float(ratio[k - 1]) if k > 1 else 0.0
    return float(k + 1 - ratio[k] / (ratio[k] - before)) if before < 0 else float(k + 1)


@takes_losses
def backward_transfer(losses: LossMatrix) -> Floats:
    """What training others did to each task since its last visit, at the end of every epoch; shape ``(E,)``.

    ``mean_i l_i(right after its latest visit) - l_i(now)`` over the tasks that were trained, the one trained
    last left out (Lopez-Paz and Ranzato, 2017, with losses in place of accuracies): positive where later
    tasks helped, negative where they were forgotten for them. NaN where only one task was trained so far.
    """
    latest = np.zeros(losses.tasks, dtype=np.int64)  # row right after; 0 while there is none
    found = np.full(losses.epochs, np.nan)
    for epoch, tasks in enumerate(losses.order):
        first = 1 + epoch * losses.tasks
        latest[tasks] = first + np.arange(losses.tasks)  # of a task that comes twice the later one stays
        end = first + losses.tasks - 1
        others = np.flatnonzero((latest > 0) & (latest < end))
        if len(others):
            found[epoch] = (losses.values[latest[others], others] - losses.values[end, others]).mean()
    return found
