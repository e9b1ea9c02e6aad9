"""Directions that only some of the documents use.

In the toy model every document trains all of w. Of a network's weights a document moves those that matter to
it: task i's loss is the squared distance in the coordinates of w that it uses, and training it touches no
others. Each coordinate then has a smaller ring of its own, of the documents that use it. Which those are is
left to chance: a document uses a coordinate with probability p, the coordinate's own, and the part of a loss
that lies in coordinates of p has the density of Beta(g, 1), g p^(g-1). With g = 1 every p counts alike; with
g large all documents use everything, which is the toy model.

Given that a document uses a coordinate, k - 1 of the T - 1 others do with the probabilities of a
beta-binomial distribution. A loss is the mean over k of those of rings of k, each averaged over subsets of k
documents that are drawn once and for all. Not every k is worked out: losses change slowly with it, and those
between are interpolated. Curves by lag are then off by .001 to .004 of the loss before training (root mean
square, against many more subsets of every size).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

__all__ = ["directions"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
# Each size about half as large again as the one before.
_RATIO = 1.5
# Members of all subsets of a size; small ones differ most from each other, and more of them cost as much.
_MEMBERS = 800
_SEED = 20240


@functools.lru_cache(16)
def directions(tasks: int, exponent: float | None) -> tuple[Integers, Floats]:
    """Groups of directions by which documents use them, and what they count.

    Args:
        tasks: T.
        exponent: g; all documents use all directions if None.

    Returns:
        For every group the number of each document among those that use it, or -1, shape ``(D, T)``, the last
        being that of all documents; and its part of each document's loss, with the derivative by log g, shape
        ``(2, D, T)``: the first sum to 1 over groups, the second to 0.
    """
    if exponent is None:
        return np.arange(tasks)[None], np.stack([np.ones((1, tasks)), np.zeros((1, tasks))])
    place, which = _subsets(tasks)
    member = (place >= 0).astype(np.float64)
    count = np.array([member[which == size].sum(0) for size in range(which[-1] + 1)])
    parts = _interpolation(tasks) @ _chances(tasks, exponent)
    return place, np.ascontiguousarray(parts.T[:, which, None] * (member / count[which]))


def _chances(tasks: int, g: float) -> Floats:
    """Probabilities of 0 to T-1 others, beta-binomial, and their derivatives by log g, shape ``(T, 2)``."""
    others, n = np.arange(tasks), tasks - 1
    chance = g * np.exp(gammaln(n + 1) - gammaln(others + 1) + gammaln(others + g) - gammaln(n + 1 + g))
    slope = chance * (1 + g * (digamma(others + g) - digamma(n + 1 + g)))
    return np.stack([chance, slope], axis=1)


@functools.cache
def _sizes(tasks: int) -> tuple[int, ...]:
    """Numbers of documents that use a direction for which losses are worked out, from 1 to T."""
    found = [1]
    while found[-1] < tasks:
        found.append(min(max(found[-1] + 1, round(found[-1] * _RATIO)), tasks))
    return tuple(found)


@functools.cache
def _interpolation(tasks: int) -> Floats:
    """What every number of documents counts for each of `_sizes`, shape ``(sizes, T)``."""
    known, every = np.array(_sizes(tasks), dtype=np.float64), np.arange(1.0, tasks + 1)
    return np.array([np.interp(every, known, row) for row in np.eye(len(known))])


@functools.cache
def _subsets(tasks: int) -> tuple[Integers, Integers]:
    """Subsets of every size, each document in equally many but for one, and the place of their sizes."""
    random = _uniform(_SEED)
    place, which = [], []
    for number, size in enumerate(_sizes(tasks)):
        differ = 1 < size < tasks
        for _ in range(math.ceil(_MEMBERS / (tasks * size)) if differ else 1):
            order = list(range(tasks))
            for n in range(tasks - 1, 0, -1):  # Fisher and Yates
                other = int(next(random) * (n + 1))
                order[n], order[other] = order[other], order[n]
            # The last piece is filled up from the first, whose members are then in one subset more.
            for begin in range(0, tasks, size):
                members = np.sort(np.take(order, range(begin, begin + size), mode="wrap"))
                row = np.full(tasks, -1)
                row[members] = np.arange(size)
                place.append(row)
                which.append(number)
    return np.array(place, dtype=np.int64), np.array(which, dtype=np.int64)


def _uniform(seed: int) -> Iterator[float]:
    """Numbers in [0, 1), by mulberry32: the explorer's page draws the same subsets in another language."""
    state, mask = seed, 0xFFFFFFFF
    while True:
        state = (state + 0x6D2B79F5) & mask
        mixed = (state ^ (state >> 15)) * (state | 1) & mask
        mixed ^= (mixed + (mixed ^ (mixed >> 7)) * (mixed | 61)) & mask
        yield (mixed ^ (mixed >> 14)) / 2**32
