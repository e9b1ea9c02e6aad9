"""Matrices, a form and what is shared as one problem over a joint theta."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bridge.estimate.checks import Bounds, check_bounds
from bridge.model.mechanism import Mechanism
from bridge.search.linear import Block
from bridge.search.problem import Problem
from toymodel import InputError, LossMatrix
from toymodel.base.words import arg, nearest

__all__ = ["pose"]

Floats = NDArray[np.float64]


def pose(
    matrices: Sequence[LossMatrix],
    mechanism: Mechanism,
    shared: Sequence[str],
    bounds: Bounds,
    weights: Sequence[Floats],
    unit: float = 1.0,
) -> tuple[Problem, tuple[str, ...]]:
    """The joint problem and the names of its parameters; separate ones carry their matrix's number.

    Args:
        matrices: all of one T.
        mechanism: the form.
        shared: as in `fit`.
        bounds: likewise.
        weights: of every loss.
        unit: the losses are divided by it.
    """
    terms = mechanism.terms
    known = {name for term in terms for name in (term.name, term.kind)}
    for name in shared:
        if name not in known:
            near = nearest(name, sorted(known))
            raise InputError(f"shared parameter {name!r}", expected="one of " + ", ".join(sorted(known)),
                             fix=arg("shared", near))  # fmt: skip
    ranges = check_bounds(bounds, mechanism)
    names: list[str] = []
    low, high, centre, width = [], [], [], []
    index = np.zeros((len(matrices), len(terms)), dtype=np.int64)
    for position, term in enumerate(terms):
        common = len(matrices) == 1 or term.name in shared or term.kind in shared
        for number in range(len(matrices)):
            if number == 0 or not common:
                names.append(term.name if common else f"{term.name}[{number + 1}]")
                ends = ranges.get(term.name, (term.low, term.high))
                low.append(ends[0])
                high.append(ends[1])
                centre.append(term.centre)
                width.append(term.width)
            index[number, position] = len(names) - 1
    blocks = tuple(
        Block(m.values / unit, m.order, w, row) for m, w, row in zip(matrices, weights, index, strict=True)
    )
    arrays = (np.array(a, dtype=np.float64) for a in (low, high, centre, width))
    return Problem(mechanism, blocks, *arrays), tuple(names)
