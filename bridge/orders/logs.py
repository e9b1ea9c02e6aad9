"""Training logs as people keep them: numbers alone, tables with named columns, JSON lines, printed words.

Which numbers are the losses must be plain from the file. Where it is not, nothing is guessed.
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toymodel import InputError, LossMatrix
from toymodel.base.arrays import only_array

__all__ = ["Log", "read_log"]

Floats = NDArray[np.float64]
# 'loss 2.31', 'train_loss=2.31', "'loss': 2.31".
_PRINTED = re.compile(
    r"(?<![a-z])((?:train[a-z]*[_/ ]?)?loss)['\"]?\s*[:=]?\s*([-+0-9.einfa]+)", re.IGNORECASE
)
# Of validation: seldom, and of other data. A line that has it tells means over many batches.
_OTHER = re.compile(r"(?<![a-z])(val|eval|test)", re.IGNORECASE)
_FIX = "a file with the losses alone, one to the line, or a first line that names the columns"


@dataclass(frozen=True)
class Log:
    """Losses before each step, and where in the file they were.

    Attributes:
        losses: shape ``(n,)``, or a loss matrix.
        source: in words; empty for a loss matrix.
    """

    losses: Floats | LossMatrix
    source: str = ""


def read_log(path: Path) -> Log:
    """Losses from a run folder, a loss matrix, or a log of one loss per step.

    Logs are a ``.npy`` of shape ``(n,)``; ``.jsonl`` with a key that names the loss; a table with a column
    that does (commas, semicolons, tabs); text that prints ``loss 2.31``; or lines of one number, or of
    a step's number and a loss.

    Raises:
        InputError: for what is missing, or where the losses are not plain.
    """
    if path.is_dir() or path.suffix == ".npz":
        return Log(LossMatrix.load(path))
    if not path.is_file():
        raise InputError(f"there is no log {str(path)!r}", expected="a run, or text with a loss per step",
                         fix="check the path")  # fmt: skip
    if path.suffix == ".npy":
        values = only_array(path)
        if values.ndim != 1:
            return Log(LossMatrix.load(path))
        if values.dtype.kind not in "fiu":
            raise InputError(f"losses of {values.dtype} in {str(path)!r}", expected="real numbers", fix=_FIX)
        return Log(values.astype(np.float64), "the array")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} is no text ({error.reason} at byte {error.start})",
                         expected="text, .npy, .npz or a run", fix="check the path") from error  # fmt: skip
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise InputError(f"{str(path)!r} is empty", expected="a loss per step", fix="check the path")
    for read in (_json, _printed, _table):
        if (found := read(lines, path)) is not None:
            return found
    return _numbers(lines, path)


Lines = list[tuple[int, str]]


def _json(lines: Lines, path: Path) -> Log | None:
    """JSON objects, one to the line; those without the key are other entries of the log."""
    if _object(lines[0][1]) is None:
        return None
    entries = []
    for number, line in lines:
        entry = _object(line)
        if entry is None:
            raise _bad(path, number, line, "a JSON object")
        entries.append((number, entry))
    name = _one_of({key for _, entry in entries for key in entry}, path)
    return _log([(n, str(entry[name])) for n, entry in entries if name in entry], path, f"key {name!r}")


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _printed(lines: Lines, path: Path) -> Log | None:
    """Lines that say their loss, in the words in which most of them do; all others are passed over."""
    said = [(number, _PRINTED.findall(line)) for number, line in lines if not _OTHER.search(line)]
    once = [(number, *matches[0]) for number, matches in said if len(matches) == 1]
    if len(once) < 2:
        return None
    ((words, _),) = Counter(words for _, words, _ in once).most_common(1)
    found = [(number, value.rstrip(".")) for number, told, value in once if told == words]
    return _log(found, path, f"what follows {words!r} on {len(found)} of {len(lines)} lines")


def _table(lines: Lines, path: Path) -> Log | None:
    """A table whose first line names its columns."""
    rows = [(number, _cells(line)) for number, line in lines]
    (_, names), body = rows[0], rows[1:]
    if any(_is_number(name) for name in names) or not body:
        return None
    place = names.index(names[0] if len(names) == 1 else _one_of(set(names), path))
    for number, row in body:
        if len(row) != len(names):
            raise _bad(path, number, " ".join(row), f"{len(names)} columns, as the first line names")
    return _log(
        [(number, row[place]) for number, row in body if row[place]], path, f"column {names[place]!r}"
    )


def _numbers(lines: Lines, path: Path) -> Log:
    """A loss to the line, or a step's number and a loss."""
    rows = [(number, _cells(line)) for number, line in lines]
    columns = len(rows[0][1])
    if columns > 2 and path.suffix == ".csv":
        with contextlib.suppress(InputError):
            return Log(LossMatrix.load(path))
    for number, row in rows:
        if len(row) != columns or columns > 2:
            raise _bad(path, number, " ".join(row), "one loss to the line, or a step and its loss")
    if columns == 2:
        steps = [row[0] for _, row in rows]
        if not all(step.lstrip("+-").isdigit() for step in steps):
            raise _bad(path, rows[0][0], " ".join(rows[0][1]), "a whole number before the loss: its step")
    told = "the only column" if columns == 1 else "the second column, after steps"
    return _log([(number, row[-1]) for number, row in rows], path, told)


def _cells(line: str) -> list[str]:
    mark = next((mark for mark in ("\t", ";", ",") if mark in line), None)
    cells = next(csv.reader([line], delimiter=mark, skipinitialspace=True)) if mark else line.split()
    return [cell.strip() for cell in cells]


def _one_of(names: set[str], path: Path) -> str:
    """The name that tells the training loss: 'loss' itself, or the only one with it in."""
    found = [name for name in names if "loss" in name.lower() and not _OTHER.search(name)]
    plain = [name for name in found if name.lower() == "loss"]
    chosen = plain or found
    if len(chosen) != 1:
        which = "no column of a loss" if not chosen else f"several of a loss ({', '.join(sorted(chosen))})"
        raise InputError(f"{str(path)!r} has {which} among {', '.join(sorted(names))[:120]}",
                         expected="one column or key 'loss'", fix=_FIX)  # fmt: skip
    return chosen[0]


def _log(cells: list[tuple[int, str]], path: Path, source: str) -> Log:
    values = []
    for number, cell in cells:
        if not _is_number(cell):
            raise _bad(path, number, cell, "a loss")
        values.append(float(cell))
    return Log(np.array(values), source)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _bad(path: Path, number: int, line: str, expected: str) -> InputError:
    return InputError(f"line {number} of {str(path)!r} is {line[:40]!r}", expected=expected, fix=_FIX)
