"""Task maps f_i: what the fast weights must be turned into to solve task i."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toymodel.errors import InputError

__all__ = ["MAPS", "TaskMap", "get_map"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TaskMap:
    """An invertible map with one parameter row (the target y_i) per task.

    Attributes:
        name: as on the command line.
        forward: f(w, y), over the last axis.
        inverse: f^{-1}(z, y).
        slope: s where f(w) = s w + (something free of w), else None; it lets the moment engine run.
    """

    name: str
    forward: Callable[[Floats, Floats], Floats]
    inverse: Callable[[Floats, Floats], Floats]
    slope: float | None = None


MAPS: dict[str, TaskMap] = {
    m.name: m
    for m in (
        TaskMap("identity", lambda w, y: w + 0 * y, lambda z, y: z + 0 * y, 1.0),
        TaskMap("reflection", lambda w, y: y - w, lambda z, y: y - z, -1.0),
    )
}


def get_map(map: str | TaskMap) -> TaskMap:
    """The map of that name (or the map itself).

    Raises:
        InputError: for an unknown name, with the nearest known one.
    """
    if isinstance(map, TaskMap):
        return map
    if map not in MAPS:
        near = difflib.get_close_matches(map, MAPS, n=1, cutoff=0.0)[0]
        raise InputError(
            f"there is no map {map!r}", expected="one of " + ", ".join(MAPS), fix=f"map={near!r}"
        )
    return MAPS[map]
