"""Words for messages and terminals: arguments by name, rows in columns, the nearest of known names.

What raises an error need not know who will show it. It names arguments as values, `arg`, and whoever shows
the message puts them into words: as a string it is Python's, ``lr=0.1``, `in_flags` makes it the command
line's, ``--lr 0.1``.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np

__all__ = [
    "Phrase",
    "arg",
    "args",
    "as_given",
    "columns",
    "either",
    "first_line",
    "in_flags",
    "nearest",
    "nearest_few",
    "one_line",
]


_LONGEST = 80


class _Absent:
    """In place of a value where an argument has none."""


class Phrase(str):
    """Text that knows which arguments it names.

    It adds up with plain text to further phrases; anything else that strings do (formatting, joining) leaves
    Python's words alone.

    Args:
        parts: text, and what is said differently in Python and on the command line.
    """

    parts: tuple[str | _Arguments | _Either, ...]

    def __new__(cls, *parts: str | _Arguments | _Either) -> Phrase:
        """Text with what each part says in Python, which knows its parts."""
        phrase = super().__new__(cls, "".join(map(str, parts)))
        phrase.parts = parts
        return phrase

    def __add__(self, other: str) -> Phrase:
        return Phrase(*self.parts, *_parts(other))

    def __radd__(self, other: str) -> Phrase:
        return Phrase(*_parts(other), *self.parts)

    def __reduce__(self) -> tuple[Any, ...]:
        return Phrase, self.parts


@dataclass(frozen=True)
class _Arguments:
    values: Mapping[str, Any]

    def __str__(self) -> str:
        said = ((name, _plain(value)) for name, value in self.values.items())
        return ", ".join(name if value is _Absent else f"{name}={_written(value)}" for name, value in said)

    def in_flags(self, flags: Mapping[str, str] | None) -> str:
        if flags is None:
            flags = {name: "--" + name.replace("_", "-") for name in self.values}
        if not self.values.keys() <= flags.keys():
            return str(self)
        return " ".join(_flag(flags[name], _plain(value)) for name, value in self.values.items())


def _flag(flag: str, value: Any) -> str:
    if value is _Absent or value is True:
        return flag
    if value is False:
        return "--no-" + flag.removeprefix("--")
    words = value if isinstance(value, list | tuple) else [value]
    return " ".join([flag, *(shlex.quote(_written(word, str)) for word in words)])


@dataclass(frozen=True)
class _Either:
    python: str
    command: str

    def __str__(self) -> str:
        return self.python

    def in_flags(self, flags: Mapping[str, str] | None) -> str:
        return self.command


def arg(name: str, value: Any = _Absent) -> Phrase:
    """An argument with its value, ``name=value`` or ``--name value``; without one its name alone.

    Args:
        name: as Python calls it: the field of a dataclass, or the parameter of a function.
        value: paths are written as text.
    """
    return Phrase(_Arguments({name: value}))


def as_given(name: str, value: Any) -> Phrase:
    """An argument with whatever was given for it; what is too long for a line is cut."""
    text = _written(value)
    return arg(name, value) if len(text) <= _LONGEST else arg(name) + f" {text[:_LONGEST]}..."


def args(**values: Any) -> Phrase:
    """Several arguments: ``name=value, name=value`` or ``--name value --name value``."""
    return Phrase(_Arguments(values))


def either(python: str, command: str) -> Phrase:
    """What is one thing in Python and another on the command line: a call, and a command."""
    return Phrase(_Either(python, command))


def in_flags(text: str, flags: Mapping[str, str] | None = None) -> str:
    """The words of the command line.

    Args:
        text: a phrase; plain text stays as it is.
        flags: the flag of each argument that has one (``{"lr": "--lr"}``), the others being said as in
            Python; None if all have the flag that their name gives.
    """
    return "".join(part if isinstance(part, str) else part.in_flags(flags) for part in _parts(text))


def _parts(text: str) -> tuple[str | _Arguments | _Either, ...]:
    return text.parts if isinstance(text, Phrase) else (text,)


def _written(value: Any, write: Callable[[Any], str] = repr) -> str:
    try:
        return write(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return f"({value.bit_length()} bits)" if isinstance(value, int) else f"({type(value).__name__})"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return fspath(value) if isinstance(value, PathLike) else value


def one_line(error: BaseException | str, most: int = 200, *, kind: bool = False) -> str:
    """What an exception says, on one line, cut; where it says nothing, its type.

    Args:
        error: of this program or another library.
        most: characters.
        kind: begin with its type.
    """
    text, name = " ".join(str(error).split()), type(error).__name__
    return (f"{name}: {text}" if kind and text else text or name)[:most]


def first_line(error: BaseException | str) -> str:
    """The first line of what an exception says; where it says nothing, its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
