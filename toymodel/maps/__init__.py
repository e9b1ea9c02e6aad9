"""Task maps: the contract, the built-in ones, and the check of a user's own.

Imports `toymodel.base` alone.
"""

from toymodel.maps.affine_maps import affine, diagonal, identity, linear, orthogonal, per_task, reflection
from toymodel.maps.base import Structure, TaskMap, VectorFunction, from_functions
from toymodel.maps.builtin import MAPS, get_map
from toymodel.maps.check import MapCheck, check_task_map, lipschitz_constants
from toymodel.maps.composition import compose
from toymodel.maps.elementwise_maps import cubic, leaky, sinh_arcsinh, softsign

__all__ = [
    "MAPS",
    "MapCheck",
    "Structure",
    "TaskMap",
    "VectorFunction",
    "affine",
    "check_task_map",
    "compose",
    "cubic",
    "diagonal",
    "from_functions",
    "get_map",
    "identity",
    "leaky",
    "linear",
    "lipschitz_constants",
    "orthogonal",
    "per_task",
    "reflection",
    "sinh_arcsinh",
    "softsign",
]
