"""Times of small functions: the least of many, since other programs on a machine can only add to one."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["least"]


def least(function: Callable[[], object], rounds: int) -> float:
    """Seconds of the fastest of so many calls."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best
