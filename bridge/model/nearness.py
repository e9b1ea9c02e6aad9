"""Similarity of documents by how near each other they are in the order of training."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["similarity_by_distance"]

Floats = NDArray[np.float64]


def similarity_by_distance(order: NDArray[np.int64], near: float, reach: float) -> tuple[Floats, Floats]:
    """Similarity of documents by how near they have been in the order so far, and its two derivatives.

    Near is the ring distance in an epoch's order, averaged (as its exponential) over the epochs up to the
    present one; a document that an epoch does not visit counts as half the ring away.

    Args:
        order: schedule, shape ``(E, T)``.
        near: similarity of neighbours less that of far documents.
        reach: episodes over which it falls by e.

    Returns:
        Shapes ``(E, T, T)`` and ``(E, 2, T, T)``: by `near`, and by the log of `reach`.
    """
    epochs, tasks = order.shape
    own = np.eye(tasks, dtype=bool)
    beyond = _distances_beyond(np.array(order, dtype=np.int64).tobytes(), epochs, tasks) / reach
    fall = np.where(own, 0.0, np.exp(-beyond))
    slope = fall * beyond
    since = np.arange(1, epochs + 1)[:, None, None]
    fall, slope = np.cumsum(fall, axis=0) / since, np.cumsum(slope, axis=0) / since
    return near * fall + own, np.stack([fall, near * slope], axis=1)


@lru_cache(maxsize=16)
def _distances_beyond(order: bytes, epochs: int, tasks: int) -> Floats:
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
