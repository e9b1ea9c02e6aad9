"""Words for terminals: rows in columns, and the known name nearest to one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["columns", "nearest", "nearest_few"]


def columns(rows: Iterable[Sequence[str]], gap: int = 2) -> list[str]:
    """A line per row, its cells aligned at the left with those of the other rows.

    Args:
        rows: cells; shorter rows end early.
        gap: spaces between the longest cell of a column and the next column.
    """
    table = [tuple(row) for row in rows]
    most = max(map(len, table), default=0)
    wide = [max(len(row[k]) for row in table if len(row) > k) for k in range(most)]
    return [
        (" " * gap).join(cell.ljust(w) for cell, w in zip(row, wide, strict=False)).rstrip() for row in table
    ]


def nearest(name: object, known: Iterable[str]) -> str:
    """The known name most like `name`; `known` must not be empty."""
    return nearest_few(name, known, 1)[0]


def nearest_few(name: object, known: Iterable[str], number: int = 3) -> list[str]:
    """The `number` known names most like `name`, the most alike first."""
    return difflib.get_close_matches(str(name), list(known), n=number, cutoff=0.0)
