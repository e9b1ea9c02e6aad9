"""Null models: curves that know nothing of slow and fast weights, beside which a mechanism shows its worth.

Three are fitted to the whole matrix as the mechanism is; six continue the epochs already seen; one takes
another run's losses as they were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from toymodel import LossMatrix, share_losses
from toymodel.measures.lag import lags

__all__ = ["CONTINUATIONS", "NULLS", "Null", "continuations", "unchanged"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Null:
    """A null model fitted to a loss matrix.

    Attributes:
        name: in words.
        values: its losses, shape ``(1 + E*T, T)``.
        parameters: free numbers, scales per document included.
    """

    name: str
    values: Floats
    parameters: int


def _scaled(shapes: Floats, values: Floats) -> Floats:
    """A scale per document that fits best."""
    square = (shapes**2).sum(0)
    return np.asarray(shapes * ((shapes * values).sum(0) / np.where(square > 0, square, 1.0)))


def no_forgetting(losses: LossMatrix) -> Null:
    """A visit takes a constant part of the loss for good: the moment engine without fast weights."""

    def values(theta: Floats) -> Floats:
        return _scaled(share_losses(1 / (1 + math.exp(-theta[0])), 0.0, losses.order), losses.values)

    best = least_squares(lambda t: (values(t) - losses.values).ravel(), [0.0], bounds=(-9, 9))
    return Null("no forgetting", values(best.x), 1 + losses.tasks)


def exponential_forgetting(losses: LossMatrix) -> Null:
    """After each visit an exponential rise to a level of the visit's own; nothing falls before a return."""
    visits, since = lags(losses.order)
    most = int(visits.max())

    def values(theta: Floats) -> Floats:
        rise = 1 - (1 - theta[0]) * np.exp(-since / theta[1])
        levels = np.concatenate([[1.0], theta[2:]])
        return _scaled(levels[visits] * np.where(visits > 0, rise, 1.0), losses.values)

    start = np.concatenate([[0.2, 5.0], 0.8 ** np.arange(1, most + 1)])
    low = np.concatenate([[0.0, 0.1], np.zeros(most)])
    high = np.concatenate([[1.0, 1000.0], np.full(most, 10.0)])
    best = least_squares(lambda t: (values(t) - losses.values).ravel(), start, bounds=(low, high))
    return Null("exponential forgetting, no recovery", values(best.x), len(start) + losses.tasks)


def _curve(order: Integers, values: Floats, knots: int = 5) -> tuple[Floats, Floats]:
    """A piecewise linear curve in lag for each visit times a scale per document; nodes and scales."""
    visits, since = lags(order)
    tasks = order.shape[1]
    places = np.unique(np.round(np.geomspace(1, max(tasks, 2), knots) - 1).astype(np.int64))
    hats = np.array([np.interp(since, places, row) for row in np.eye(len(places))])
    most = int(visits.max())
    design = np.concatenate([hats * (visits == n) for n in range(most + 1)])
    flat = design.reshape(len(design), -1).T
    scales = np.ones(tasks)
    nodes: Floats = np.zeros(len(design))
    for _ in range(20):
        weighted = flat * np.broadcast_to(scales, values.shape).reshape(-1, 1)
        nodes = np.asarray(np.linalg.lstsq(weighted, values.ravel(), rcond=None)[0], dtype=np.float64)
        shape = (flat @ nodes).reshape(values.shape)
        square = (shape**2).sum(0)
        scales = (shape * values).sum(0) / np.where(square > 0, square, 1.0)
    return nodes.reshape(most + 1, len(places)), scales


def _curve_values(order: Integers, nodes: Floats, scales: Floats, knots: int = 5) -> Floats:
    visits, since = lags(order)
    places = np.unique(np.round(np.geomspace(1, max(order.shape[1], 2), knots) - 1).astype(np.int64))
    values = np.zeros(visits.shape)
    for n, row in enumerate(nodes):
        values = np.where(visits == n, np.interp(since, places, row), values)
    return values * scales


def smooth_curve(losses: LossMatrix) -> Null:
    """A smooth curve in lag for every visit, times a scale per document."""
    nodes, scales = _curve(losses.order, losses.values)
    return Null(
        "smooth curve in lag", _curve_values(losses.order, nodes, scales), nodes.size + len(scales) - 1
    )


NULLS = (no_forgetting, exponential_forgetting, smooth_curve)


def repeated(known: LossMatrix, order: Integers) -> Floats:
    """The last epoch seen, again and again."""
    return np.concatenate([known.values[-known.tasks :]] * len(order))


def linear(known: LossMatrix, order: Integers) -> Floats:
    """Each entry goes on by the last difference between epochs, not below 0."""
    last, before = known.values[-known.tasks :], known.values[-2 * known.tasks : -known.tasks]
    return np.concatenate([np.maximum(last + n * (last - before), 0.0) for n in range(1, len(order) + 1)])


def geometric(known: LossMatrix, order: Integers) -> Floats:
    """Each entry goes on by the last ratio between epochs."""
    last, before = known.values[-known.tasks :], known.values[-2 * known.tasks : -known.tasks]
    ratio = last / np.maximum(before, 1e-12)
    return np.concatenate([last * ratio**n for n in range(1, len(order) + 1)])


def curve_continued(known: LossMatrix, order: Integers) -> Floats:
    """The smooth curve in lag, its nodes going on by their last ratio between visits."""
    nodes, scales = _curve(known.order, known.values)
    whole = np.concatenate([known.order, order])
    most = int(lags(whole)[0].max())
    # The last visit seen is cut off by the end of the run for most documents: two whole ones come before it.
    ratio = (
        np.clip(nodes[-2] / np.maximum(nodes[-3], 1e-12), 0.0, 1.5)
        if len(nodes) > 2
        else np.ones_like(nodes[0])
    )
    rows = [*nodes[:-1]]
    while len(rows) <= most:
        rows.append(rows[-1] * ratio)
    return _curve_values(whole, np.array(rows), scales)[len(known.values) :]


def shrunken(known: LossMatrix, order: Integers) -> Floats:
    """Each entry's departure from the documents' mean curve in lag fades, the curve itself goes on.

    The mean curve (over documents, by lag, times a scale per document) goes on by its last ratio at every
    lag; what an entry departs from it comes again to the part that it did between the last two epochs seen.
    """
    tasks, epochs = known.tasks, known.epochs
    visits, since = (a[1:].reshape(epochs, tasks, tasks) for a in lags(known.order))
    blocks = known.values[1:].reshape(epochs, tasks, tasks)
    overall = blocks[-2:].mean() or 1.0
    scales = blocks[-2:].mean((0, 1)) / overall
    size = tasks + int(since.max())
    curves = []
    for number in (epochs - 2, epochs - 1):
        seen = visits[number] > 0
        cell = since[number][seen]
        count = np.bincount(cell, minlength=size)
        weight = np.bincount(cell, np.broadcast_to(scales, seen.shape)[seen] ** 2, minlength=size)
        total = np.bincount(cell, (blocks[number] * scales)[seen], minlength=size)
        places = np.flatnonzero(count)
        curves.append(np.interp(np.arange(size), places, total[places] / np.maximum(weight[places], 1e-300)))
    before, last = curves
    ratio = np.clip(last / np.maximum(before, 1e-12), 0.0, 1.5)
    departures = [
        np.where(visits[number] > 0, blocks[number] - scales * curve[since[number]], 0.0)
        for number, curve in zip((epochs - 2, epochs - 1), curves, strict=True)
    ]
    square = float((departures[0] ** 2).sum())
    repeats = square > 0 and bool((known.order[-2] == known.order[-1]).all())
    part = float(np.clip((departures[0] * departures[1]).sum() / square, 0.0, 1.0)) if repeats else 0.0
    whole = np.concatenate([known.order, order])
    later = np.minimum(lags(whole)[1][1 + epochs * tasks :], size - 1).reshape(len(order), tasks, tasks)
    found = []
    for n, row in enumerate(order, start=1):
        own = part**n * departures[1] if (row == known.order[-1]).all() else 0.0
        found.append(np.maximum(scales * (last * ratio**n)[later[n - 1]] + own, 0.0))
    return np.concatenate(found)


def low_rank(known: LossMatrix, order: Integers, rank: int = 3) -> Floats:
    """The last epoch's three strongest patterns over episodes and documents go on, each by its last ratio.

    Rank 3 is what arXiv 2406.14026 finds in what training on one document does to the losses of others. A
    pattern's ratio is its size in the last epoch over its size in the one before, from 0 to 1.
    """
    tasks = known.tasks
    last, before = known.values[-tasks:], known.values[-2 * tasks : -tasks]
    left, size, right = np.linalg.svd(last)
    left, size, right = left[:, :rank], size[:rank], right[:rank]
    earlier = np.einsum("tk,tj,kj->k", left, before, right)
    ratio = np.where(earlier > size, size / np.maximum(earlier, 1e-300), np.where(earlier > 0, 1.0, 0.0))
    found = [np.maximum((left * (size * ratio**n)) @ right, 0.0) for n in range(1, len(order) + 1)]
    return np.concatenate(found)


CONTINUATIONS = {
    "last epoch repeated": repeated,
    "each entry continued linearly": linear,
    "each entry continued geometrically": geometric,
    "smooth curve in lag continued": curve_continued,
    "each entry shrunk to the mean curve in lag": shrunken,
    "low rank continued": low_rank,
}


def continuations(known: LossMatrix, order: Integers) -> dict[str, Floats]:
    """Every continuation of a run through further epochs; shape ``(e*T, T)`` each.

    Args:
        known: the epochs seen, at least two.
        order: the further ones, shape ``(e, T)``.
    """
    # In a unit in which the largest loss is about 1, so that every square is a number.
    unit = 2.0 ** np.frexp(np.abs(known.values).max())[1]
    scaled = LossMatrix(known.values / unit, known.order)
    return {name: build(scaled, order) * unit for name, build in CONTINUATIONS.items()}


def unchanged(source: LossMatrix, order: Integers, documents: Sequence[int] | None = None) -> Floats:
    """Losses of another run as if nothing but its order had changed.

    Every document goes through what it went through in the source: its loss after as many visits and as many
    episodes since. Beyond what was seen of a visit its last loss stands, beyond the visits those of the last.

    Args:
        source: the run that was seen.
        order: of the other, shape ``(E, T)``.
        documents: the source's numbers of the other's documents; the same if None.

    Returns:
        Shape ``(1 + E*T, T)``.
    """
    visits, since = lags(source.order)
    new_visits, new_since = lags(order)
    kept = np.arange(source.tasks) if documents is None else np.array(documents, dtype=np.int64)
    values = np.empty(new_visits.shape)
    for column, document in enumerate(kept):
        mine, lag = visits[:, document], since[:, document]
        known = source.values[:, document]
        for n in np.unique(new_visits[:, column]):
            rows = new_visits[:, column] == n
            from_ = np.flatnonzero(mine == min(n, mine.max()))
            at = np.minimum(new_since[rows, column], lag[from_].max())
            values[rows, column] = known[from_][np.searchsorted(lag[from_], at)]
    return values
