"""The two readings of a loss matrix that figures and claims share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import recovery_scores, shift_averaged

__all__ = ["last_score", "score_by_epoch", "shifted"]


def shifted(losses: LossMatrix) -> NDArray[np.float64]:
    """Shift-averaged loss from lag 0 to the last lag that all documents of a cyclic run reach."""
    last = (losses.epochs - 1) * losses.tasks
    return shift_averaged(losses).mean[: 1 + last]


def last_score(losses: LossMatrix, epoch: int | None = None) -> float:
    """Recovery score of the last epoch, or of a given one; NaN where it has no meaning."""
    at = (losses.epochs - 1 if epoch is None else epoch) - 1
    scores = recovery_scores(losses)
    return scores[at].value if 0 <= at < len(scores) else math.nan


def score_by_epoch(matrices: Sequence[LossMatrix]) -> str:
    """Recovery scores of every epoch in words: mean over the seeds that have one, ``-`` where none has."""
    table = [[score.value for score in recovery_scores(matrix)] for matrix in matrices]
    means = []
    for epoch in zip(*table, strict=True):
        good = [value for value in epoch if math.isfinite(value)]
        means.append(f"{np.mean(good):.3f}" if good else "-")
    return " ".join(means)
