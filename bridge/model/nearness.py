"""Distances of documents in the order of training."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["distances_beyond"]


@lru_cache(maxsize=16)
def distances_beyond(order: bytes, epochs: int, tasks: int) -> NDArray[np.float64]:
    """How much farther than next to each other documents are in every epoch's ring, ``(E, T, T)``.

    The same in every evaluation of a fit, so it is kept; the order is given as bytes to be a key.
    """
    orders = np.frombuffer(order, dtype=np.int64).reshape(epochs, tasks)
    result = np.empty((epochs, tasks, tasks))
    for e in range(epochs):
        place = np.full(tasks, np.nan)
        place[orders[e, ::-1]] = np.arange(tasks)[::-1]
        apart = np.abs(place[:, None] - place[None, :])
        distance = np.nan_to_num(np.minimum(apart, tasks - apart), nan=tasks / 2)
        result[e] = np.maximum(distance - 1, 0.0)
    result.flags.writeable = False
    return result
