"""Types of what compiled loops are given."""

from __future__ import annotations

from typing import Any

import numba
from numba import types

__all__ = ["CUBE", "MAP", "MATRIX", "ORDER", "READ1", "READ2", "VECTOR", "read_only"]


def read_only(kind: Any, dimensions: int) -> Any:
    """The numba type of a contiguous array that is only read."""
    return types.Array(kind, dimensions, "C", readonly=True)


VECTOR, MATRIX, CUBE = numba.float64[::1], numba.float64[:, ::1], numba.float64[:, :, ::1]
READ1, READ2 = read_only(types.float64, 1), read_only(types.float64, 2)
ORDER = read_only(types.int64, 1)
MAP = types.FunctionType(types.void(VECTOR, VECTOR, VECTOR))
