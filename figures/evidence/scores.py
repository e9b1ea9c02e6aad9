"""The two readings of a loss matrix that figures and claims share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import recovery_scores, shift_averaged

__all__ = ["last_score", "mean_scores", "score_by_epoch", "shifted"]


def shifted(losses: LossMatrix) -> NDArray[np.float64]:
    """Shift-averaged loss from lag 0 to the last lag that all documents of a cyclic run reach."""
    last = (losses.epochs - 1) * losses.tasks
    return shift_averaged(losses).mean[: 1 + last]


def last_score(losses: LossMatrix, epoch: int | None = None) -> float:
    """Recovery score of the last epoch, or of a given one; NaN where it has no meaning."""
    at = (losses.epochs - 1 if epoch is None else epoch) - 1
    scores = recovery_scores(losses)
    return scores[at].value if 0 <= at < len(scores) else math.nan


def mean_scores(matrices: Sequence[LossMatrix]) -> NDArray[np.float64]:
    """Recovery score of every epoch, mean over the seeds that have one; NaN where none has."""
    # Orders drawn at random may leave a seed without a document that returns in every epoch.
    table = zip_longest(*([s.value for s in recovery_scores(m)] for m in matrices), fillvalue=math.nan)
    good = [[value for value in epoch if math.isfinite(value)] for epoch in table]
    return np.array([np.mean(values) if values else math.nan for values in good])


def score_by_epoch(matrices: Sequence[LossMatrix]) -> str:
    """`mean_scores` in words, ``-`` where there is none."""
    return " ".join(f"{mean:.3f}" if math.isfinite(mean) else "-" for mean in mean_scores(matrices))
