"""Losses as text: a table with a row for every evaluation and a column for every task."""

from __future__ import annotations

import csv
import os
import re
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

    A first column that counts the rows under a name of its own (as pandas writes its index) is left out, and
    so is a first line that counts the columns (pandas' names of an array's). An empty cell, or one that says
    NaN, is NaN.

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
            fix="save it as UTF-8, or as .npy with np.save",
        ) from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    lines = [(n, [cell.strip() for cell in row])
             for n, row in enumerate(csv.reader(text.splitlines(), delimiter=delimiter), start=1)
             if any(cell.strip() for cell in row)]  # fmt: skip
    named = bool(lines) and (_counts(lines[0][1]) or any(_number(cell) is None for cell in lines[0][1]))
    head = lines[0][1] if named else []
    body = lines[1:] if named else lines
    if not body:
        raise InputError(
            f"{str(where)!r} holds no row of numbers",
            expected="a row for every evaluation and a column for every task",
            fix="np.savetxt(path, values, delimiter=',')",
        )
    if delimiter == "," and any(re.fullmatch("0[0-9]+", cell) for _, row in body for cell in row):
        raise InputError(
            f"{str(where)!r} has commas between cells and, it seems, within numbers",
            expected="a decimal point",
            fix="save it again with decimal points, or with semicolons between cells and points within",
        )
    values = np.array([_row(where, n, row, len(body[0][1])) for n, row in body])
    counts = np.array_equal(values[:, 0], np.arange(len(values)))
    if head and head[0] in ("", "row", "episode", "index") and counts:
        return values[:, 1:]
    _refuse_counting(where, values, head)
    return values


def _counts(cells: Sequence[str]) -> bool:
    """Whether a line is ``0,1,2,...``, with an empty corner before it or without."""
    names = cells[1:] if cells[0] == "" else cells
    return len(names) > 1 and list(names) == [str(n) for n in range(len(names))]


def _refuse_counting(where: Path, values: NDArray[np.float64], head: Sequence[str]) -> None:
    """A column of rows, steps or epochs would pass for the losses of a task wherever the shape allows it."""
    for column in range(values.shape[1] if len(values) > 2 else 0):
        found = values[:, column]
        if found[0] not in (0, 1) or not np.isfinite(found).all():
            continue
        steps = np.diff(found)
        if np.isin(steps, (0, 1)).all() and steps.any():
            name = f" ({head[column]!r})" if head else ""
            raise InputError(
                f"column {column + 1}{name} of {str(where)!r} counts from {found[0]:.0f} to {found[-1]:.0f}",
                expected="losses alone, a column for every task",
                fix="leave that column out",
            )


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
                fix="keep losses only: a decimal point, commas between cells, no units, no column of names",
            )
        found.append(value)
    return found
