"""Every built-in map by name."""

from __future__ import annotations

from collections.abc import Callable

from toymodel.base.errors import InputError
from toymodel.base.words import arg, nearest
from toymodel.maps.affine_maps import affine, diagonal, identity, linear, orthogonal, per_task, reflection
from toymodel.maps.base import TaskMap
from toymodel.maps.elementwise_maps import cubic, leaky, sinh_arcsinh, softsign

__all__ = ["MAPS", "get_map"]

MAPS: dict[str, Callable[[], TaskMap]] = {
    "identity": identity,
    "reflection": reflection,
    "affine": affine,
    "per-task": per_task,
    "diagonal": diagonal,
    "orthogonal": orthogonal,
    "linear": linear,
    "sinh-arcsinh": sinh_arcsinh,
    "leaky": leaky,
    "cubic": cubic,
    "softsign": softsign,
}
"""Constructors; each makes its map with the constructor's default parameters."""


def get_map(map: str | TaskMap) -> TaskMap:
    """The map of that name (or the map itself).

    Raises:
        InputError: for an unknown name, with the nearest known one.
    """
    if isinstance(map, TaskMap):
        return map
    if map not in MAPS:
        near = nearest(map, MAPS)
        raise InputError(
            f"there is no map {map!r}", expected="one of " + ", ".join(MAPS), fix=arg("map", near)
        )
    return MAPS[map]()
