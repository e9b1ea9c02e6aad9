"""The two readings of a loss matrix that figures and claims share."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import recovery_scores, shift_averaged

__all__ = ["last_score", "shifted"]


def shifted(losses: LossMatrix) -> NDArray[np.float64]:
    """Shift-averaged loss from lag 0 to the last lag that all documents of a cyclic run reach."""
    last = (losses.epochs - 1) * losses.tasks
    return shift_averaged(losses).mean[: 1 + last]


def last_score(losses: LossMatrix, epoch: int | None = None) -> float:
    """Recovery score of the last epoch, or of a given one; NaN where it has no meaning."""
    at = (losses.epochs - 1 if epoch is None else epoch) - 1
    scores = recovery_scores(losses)
    return scores[at].value if 0 <= at < len(scores) else math.nan
