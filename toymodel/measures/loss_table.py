"""Losses as text: a table with a row for every evaluation and a column for every task."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toymodel.base.errors import InputError
from toymodel.base.words import one_line

__all__ = ["read_table"]

_MISSING = {"", "na", "nan", "null", "none"}


def read_table(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Read a ``.csv``: numbers between commas, semicolons or tabs, a line of names above them or not.

    A first column that counts the rows under a name of its own (as pandas writes its index) is left out. An
    empty cell, or one that says NaN, is NaN.

    Returns:
        Shape ``(rows, columns)``.

    Raises:
        InputError: for a file that is no such table, by line and column.
    """
    where = Path(path)
    try:
        text = where.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{str(where)!r} cannot be read as text ({one_line(error, 120)})",
            expected="a table of losses in UTF-8",
            fix="save it as .csv, or as .npy with np.save",
        ) from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    lines = [(n, [cell.strip() for cell in row])
             for n, row in enumerate(csv.reader(text.splitlines(), delimiter=delimiter), start=1)
             if any(cell.strip() for cell in row)]  # fmt: skip
    named = bool(lines) and any(_number(cell) is None for cell in lines[0][1])
    head = lines[0][1] if named else []
    body = lines[1:] if named else lines
    if not body:
        raise InputError(
            f"{str(where)!r} holds no row of numbers",
            expected="a row for every evaluation and a column for every task",
            fix="np.savetxt(path, values, delimiter=',')",
        )
    values = np.array([_row(where, n, row, len(body[0][1])) for n, row in body])
    counts = np.array_equal(values[:, 0], np.arange(len(values)))
    return values[:, 1:] if head and head[0] in ("", "row", "episode", "index") and counts else values


def _number(cell: str) -> float | None:
    if cell.lower() in _MISSING:
        return np.nan
    try:
        return float(cell)
    except ValueError:
        return None


def _row(where: Path, line: int, row: Sequence[str], columns: int) -> list[float]:
    if len(row) != columns:
        raise InputError(
            f"line {line} of {str(where)!r} has {len(row)} cells",
            expected=f"{columns}, as above it",
            fix="leave a cell empty where a loss is missing, and no comma at the end of a line",
        )
    found = []
    for column, cell in enumerate(row, start=1):
        value = _number(cell)
        if value is None:
            raise InputError(
                f"{cell[:40]!r} in line {line}, column {column} of {str(where)!r}",
                expected="a number",
                fix="keep losses only: a decimal point, no units, no column of names",
            )
        found.append(value)
    return found
