"""Damped Gauss-Newton descent inside a box: direction, search and damping apart, for every search here.

The method is Levenberg and Marquardt's: solve ``(H + damping) step = g`` among the components that are free
to move, cut the step, keep it where the cost falls, and damp more where it does not. What is minimised says
its cost at a point and its normal equations there (`Objective`); variables that it eliminates from them
travel in the point and follow the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Box",
    "Damped",
    "Damping",
    "Descended",
    "Normal",
    "Objective",
    "Point",
    "Stop",
    "descend",
    "direction",
]

Floats = NDArray[np.float64]


class Point(NamedTuple):
    """Where a search stands.

    Attributes:
        theta: the components that are searched, shape ``(p,)``.
        pairs: the eliminated ones, one array for each loss matrix.
    """

    theta: Floats
    pairs: Sequence[Floats]


@dataclass(frozen=True, eq=False)
class Damped:
    """Normal equations of theta at one damping.

    Attributes:
        hessian: shape ``(p, p)``.
        gradient: the direction in which half the cost falls, shape ``(p,)``.
        step: how each matrix's eliminated variables move of themselves, ``(d,)`` each.
        response: by how much less for a step of theta, ``(d, p)`` each.
    """

    hessian: Floats
    gradient: Floats
    step: Sequence[Floats] = ()
    response: Sequence[Floats] = ()


class Normal(Protocol):
    """Normal equations at a point."""

    def damped(self, damping: float) -> Damped:
        """The same with every curvature raised by so large a part of itself."""


class Objective(Protocol):
    """What is minimised."""

    def cost(self, point: Point) -> float:
        """Its value; not finite where there is none."""

    def normal(self, point: Point) -> Normal:
        """Its normal equations."""


@dataclass(frozen=True, eq=False)
class Box:
    """Where theta may be.

    Attributes:
        low: least values, shape ``(p,)``.
        high: largest; equal ends hold a component where it is.
    """

    low: Floats
    high: Floats

    def free(self, theta: Floats, gradient: Floats) -> NDArray[np.int64]:
        """Components that may move: neither held nor pressed against an end."""
        pressed = ((theta <= self.low) & (gradient < 0)) | ((theta >= self.high) & (gradient > 0))
        return np.flatnonzero(~pressed & (self.high > self.low))

    def held(self, p: int, value: float) -> Box:
        """The same with one component held."""
        low, high = self.low.copy(), self.high.copy()
        low[p] = high[p] = value
        return Box(low, high)

    def clip(self, theta: Floats) -> Floats:
        """The nearest point inside."""
        return np.clip(theta, self.low, self.high)


@dataclass(frozen=True)
class Damping:
    """How damping answers success and failure.

    Attributes:
        start: of the first step.
        rise: factor after a step that failed.
        fall: divisor after one that lowered the cost.
        least: never less.
        most: beyond it the search is over: no step lowers the cost.
    """

    start: float = 1e-3
    rise: float = 5.0
    fall: float = 5.0
    least: float = 1e-8
    most: float = 1e6


@dataclass(frozen=True)
class Stop:
    """When a search ends.

    Attributes:
        fall: a step that lowers the cost by less than this part of it was the last.
        by: the same as an amount.
        evaluations: of cost or normal equations, at most.
    """

    fall: float = 0.0
    by: float = 0.0
    evaluations: int = 80


class Descended(NamedTuple):
    """Where a search ended, its cost, what it took, and whether it ended by itself."""

    point: Point
    cost: float
    evaluations: int
    converged: bool


def direction(damped: Damped, theta: Floats, box: Box) -> Floats:
    """The step among the free components; 0 in the others."""
    free = box.free(theta, damped.gradient)
    step = np.zeros(len(theta))
    step[free] = np.linalg.solve(damped.hessian[np.ix_(free, free)], damped.gradient[free])
    return step


def descend(
    objective: Objective,
    start: Point,
    box: Box,
    stop: Stop,
    damping: Damping | None = None,
    longest: float = 1.5,
) -> Descended:
    """Follow the cost downwards.

    Args:
        objective: what is minimised.
        start: where; moved into the box.
        box: where theta may be.
        stop: when to end.
        damping: its policy.
        longest: of one component's step: longer ones leave the region where links and logits are anywhere
            near linear.
    """
    policy = damping or Damping()
    point = start._replace(theta=box.clip(start.theta))
    cost, used, level = objective.cost(point), 1, policy.start
    while used < stop.evaluations:
        normal = objective.normal(point)
        used += 1
        while True:
            damped = normal.damped(level)
            trial = _moved(point, damped, box, longest)
            value = objective.cost(trial)
            used += 1
            if np.isfinite(value) and value < cost:
                break
            level *= policy.rise
            if level > policy.most or used >= stop.evaluations:
                return Descended(point, cost, used, level > policy.most)
        fell = cost - value
        point, cost = trial, value
        level = max(level / policy.fall, policy.least)
        if fell < max(stop.by, stop.fall * abs(cost + fell)):
            return Descended(point, cost, used, True)
    return Descended(point, cost, used, False)


def _moved(point: Point, damped: Damped, box: Box, longest: float) -> Point:
    step = np.clip(direction(damped, point.theta, box), -longest, longest)
    theta = box.clip(point.theta + step)
    pairs = point.pairs
    if damped.step:
        along = theta - point.theta
        pairs = [d + own - response @ along
                 for d, own, response in zip(pairs, damped.step, damped.response, strict=True)]  # fmt: skip
    return Point(theta, pairs)
