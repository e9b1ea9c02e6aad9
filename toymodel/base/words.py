"""Words for messages: the known name nearest to one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["nearest", "nearest_few"]


def nearest(name: object, known: Iterable[str]) -> str:
    """The known name most like `name`; `known` must not be empty."""
    return nearest_few(name, known, 1)[0]


def nearest_few(name: object, known: Iterable[str], number: int = 3) -> list[str]:
    """The `number` known names most like `name`, the most alike first."""
    return difflib.get_close_matches(str(name), list(known), n=number, cutoff=0.0)
