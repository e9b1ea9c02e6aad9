"""Links: from relative squared distance x to the shape of a loss, h(0) = 0 and h(1) = 1.

Each is an object with its value and its derivatives, and the term of its parameter where it has one. A new
link is a subclass here and an entry in `LINKS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.model.terms import Term

__all__ = ["LINKS", "Link", "Linked"]

Floats = NDArray[np.float64]
# Beyond the first losses are differences of moments that have lost their digits; a link that rises fast
# reaches e^`_LARGEST`, whose square is still finite, before.
_DIVERGED, _LARGEST = 1e12, 230.0


class Linked(NamedTuple):
    """A link at x.

    Attributes:
        value: h(x).
        by_distance: dh/dx.
        by_parameter: derivative by the log of the link's parameter; 0 where it has none.
    """

    value: Floats
    by_distance: Floats
    by_parameter: Floats


class Link(Protocol):
    """What a mechanism asks of a link."""

    @property
    def term(self) -> Term | None:
        """Its parameter, fitted on the scale of its logarithm; None where it has none."""

    def at(self, x: Floats, parameter: float) -> Linked:
        """Value and derivatives at relative squared distances x, which are above 0."""

    def farthest(self, parameter: float) -> float:
        """The x from which on training has diverged: every number up to there has a finite square."""


class Linear:
    """h(x) = x."""

    term = None

    def at(self, x: Floats, parameter: float) -> Linked:
        """As in `Link`."""
        return Linked(x, np.ones_like(x), np.zeros_like(x))

    def farthest(self, parameter: float) -> float:
        """As in `Link`."""
        return _DIVERGED


class Power:
    """h(x) = x^p."""

    term = Term("exponent", "p in loss = (squared distance)^p", "log", -2, 3, math.log(2), 0.4)

    def at(self, x: Floats, parameter: float) -> Linked:
        """As in `Link`."""
        h = x**parameter
        return Linked(h, parameter * h / x, parameter * np.log(x) * h)

    def farthest(self, parameter: float) -> float:
        """As in `Link`."""
        return math.exp(min(math.log(_DIVERGED), _LARGEST / parameter))


class Exponential:
    """h(x) = (e^(a x) - 1)/(e^a - 1)."""

    term = Term("rate", "a in loss = (exp(a x) - 1)/(exp(a) - 1) of squared distance x",
                "log", -3, 2.5, math.log(2), 0.7)  # fmt: skip

    def at(self, x: Floats, parameter: float) -> Linked:
        """As in `Link`."""
        # Through expm1, so that a near 0 is the linear link to rounding.
        whole = math.expm1(parameter)
        h = np.expm1(parameter * x) / whole
        slope = parameter * np.exp(parameter * x) / whole
        return Linked(h, slope, x * slope - parameter * math.exp(parameter) / whole * h)

    def farthest(self, parameter: float) -> float:
        """As in `Link`."""
        return min(_DIVERGED, _LARGEST / parameter)


class Saturating:
    """h(x) = (1+z) x/(x+z): a document wholly forgotten costs what an ignorant model pays, not more."""

    term = Term("half_point", "relative squared distance at half the largest loss", "log", -5, 5, 1.0, 2.5)

    def at(self, x: Floats, parameter: float) -> Linked:
        """As in `Link`."""
        square = (x + parameter) ** 2
        return Linked(
            (1 + parameter) * x / (x + parameter),
            (1 + parameter) * parameter / square,
            parameter * x * (x - 1) / square,
        )

    def farthest(self, parameter: float) -> float:
        """As in `Link`."""
        return _DIVERGED


LINKS: Mapping[str, Link] = {
    "linear": Linear(),
    "power": Power(),
    "exponential": Exponential(),
    "saturating": Saturating(),
}
