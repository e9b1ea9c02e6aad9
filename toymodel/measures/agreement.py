"""How well one array of losses agrees with another."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["pooled_r_squared", "r_squared"]


def r_squared(truth: ArrayLike, guess: ArrayLike) -> float:
    """1 - SSE/SST, SST about the mean of `truth`; minus infinity or NaN where `truth` is constant.

    Args:
        truth: measured values, any shape.
        guess: predicted ones, the same shape.
    """
    return pooled_r_squared([(truth, guess)])


def pooled_r_squared(pairs: Iterable[tuple[ArrayLike, ArrayLike]]) -> float:
    """The same over several pairs of arrays, each about its own mean."""
    arrays = [(np.asarray(t, dtype=np.float64), np.asarray(g, dtype=np.float64)) for t, g in pairs]
    # In units of the largest deviation, whose square is a number whatever the unit of the losses.
    unit = max((float(np.abs(truth).max()) for truth, _ in arrays), default=0.0) or 1.0
    left = whole = 0.0
    for truth, guess in arrays:
        centred = truth / unit - (truth / unit).mean()
        left += float(((truth / unit - guess / unit) ** 2).sum())
        whole += float((centred**2).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(1 - np.float64(left) / np.float64(whole))
