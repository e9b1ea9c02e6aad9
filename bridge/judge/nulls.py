"""Null models: curves that know nothing of slow and fast weights, beside which a mechanism shows its worth.

Three are fitted to the whole matrix as the mechanism is; four continue the epochs already seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from toymodel import LossMatrix, share_losses
from toymodel.measures.lag import lags

__all__ = ["CONTINUATIONS", "NULLS", "Null", "continuations"]

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


CONTINUATIONS = {
    "last epoch repeated": repeated,
    "each entry continued linearly": linear,
    "each entry continued geometrically": geometric,
    "smooth curve in lag continued": curve_continued,
}


def continuations(known: LossMatrix, order: Integers) -> dict[str, Floats]:
    """Every continuation of a run through further epochs; shape ``(e*T, T)`` each.

    Args:
        known: the epochs seen, at least two.
        order: the further ones, shape ``(e, T)``.
    """
    return {name: build(known, order) for name, build in CONTINUATIONS.items()}
