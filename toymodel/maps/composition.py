"""Maps of maps."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toymodel.base.errors import InputError
from toymodel.maps.base import EVERYWHERE, Structure, TaskMap, VectorFunction

__all__ = ["compose"]

Floats = NDArray[np.float64]

_STRENGTH: tuple[Structure, ...] = ("scalar", "conformal", "affine", "nonlinear")


def compose(first: TaskMap, second: TaskMap) -> TaskMap:
    """f_i(w) = second_i(first_i(w)); the targets go to `second`, and `first` gets zeros.

    The composite promises what both parts promise: the weaker structure, the product of slopes and of
    Lipschitz constants. Its code is compiled in every process anew (half a second).

    Args:
        first: applied to w.
        second: applied to the result; its domain must hold all that `first` can give.

    Raises:
        InputError: where it does not.
    """
    if second.domain != EVERYWHERE and not (
        first.codomain is not None
        and second.domain[0] <= first.codomain[0]
        and first.codomain[1] <= second.domain[1]
    ):
        raise InputError(
            f"{first.name!r} gives values in {first.codomain}, {second.name!r} takes {second.domain}",
            expected="a second map whose domain holds the first one's codomain",
            fix="swap them or put a map with that codomain first",
        )
    structure = _STRENGTH[max(_STRENGTH.index(m.structure) for m in (first, second))]

    def parameters(y: Floats) -> Floats:
        one, two = first.theta(np.zeros_like(y)), second.theta(y)
        # The first number says where the second map's parameters begin.
        return np.hstack([np.full((len(y), 1), 1.0 + one.shape[1]), one, two])

    def parts(theta: Floats) -> tuple[Floats, Floats]:
        split = int(theta[0, 0])
        return theta[:, 1:split], theta[:, split:]

    def slopes(theta: Floats) -> Floats:
        one, two = parts(theta)
        return first.task_slopes(one) * second.task_slopes(two)

    def constants(theta: Floats) -> Floats:
        assert first.lipschitz is not None
        assert second.lipschitz is not None
        one, two = parts(theta)
        return first.lipschitz(one) * second.lipschitz(two)

    both = first.slope is not None and second.slope is not None
    return TaskMap(
        f"{second.name}({first.name})",
        _chain(first.forward, second.forward, inverted=False),
        _chain(first.inverse, second.inverse, inverted=True),
        parameters,
        structure,
        first.slope * second.slope if first.slope is not None and second.slope is not None else None,
        slopes if structure in ("scalar", "conformal") and not both else None,
        first.domain,
        second.codomain if first.codomain == second.domain else None,
        constants if first.lipschitz is not None and second.lipschitz is not None else None,
    )


@functools.cache
def _chain(first: VectorFunction, second: VectorFunction, *, inverted: bool) -> VectorFunction:
    jitted = first.jitted and second.jitted
    one: Any = first.compiled if jitted else first
    two: Any = second.compiled if jitted else second
    if inverted:

        def chained(v: Floats, theta: Floats, out: Floats) -> None:
            split = int(theta[0])
            between = np.empty_like(v)
            two(v, theta[split:], between)
            one(between, theta[1:split], out)

    else:

        def chained(v: Floats, theta: Floats, out: Floats) -> None:
            split = int(theta[0])
            between = np.empty_like(v)
            one(v, theta[1:split], between)
            two(between, theta[split:], out)

    # Closures must not be cached on disk: the cache cannot see what they close over.
    return VectorFunction(chained, jitted=jitted, cache=False)
