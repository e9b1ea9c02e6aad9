"""What the fields of a dataclass may hold, read off their annotations so that it is written once."""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
import typing
from typing import Any, Literal, get_args, get_origin

import numpy as np

from toymodel.base.errors import InputError
from toymodel.base.words import arg, as_given

__all__ = ["choices", "conform"]

_LARGEST = sys.float_info.max
_WORDS = {int: "a whole number below 2**63", float: "a finite number", bool: "True or False", str: "text"}


def conform(values: Any, *, but: tuple[str, ...] = ()) -> None:
    """See that every field of a dataclass holds what its annotation says; lists become tuples.

    Args:
        values: a dataclass; frozen ones too.
        but: fields to leave alone.

    Raises:
        InputError: for the first that does not.
    """
    kind: Any = type(values)
    for field in dataclasses.fields(values):
        if field.name in but:
            continue
        value, hint = getattr(values, field.name), _hints(kind)[field.name]
        try:
            conformed = _conformed(value, hint)
        except (TypeError, ValueError, OverflowError) as error:
            name = field.name
            raise InputError(
                as_given(name, value),
                expected=str(error),
                fix=arg(name, field.default) if field.default not in (None, ()) else "no " + arg(name),
            ) from None
        object.__setattr__(values, field.name, conformed)


def choices(kind: type) -> dict[str, tuple[str, ...]]:
    """What each field of a closed set (``Literal``, or a tuple of it) may be."""
    found = {}
    for name, hint in _hints(kind).items():
        options = get_args(hint)
        if options and options[-1] is Ellipsis:  # tuple[Literal[...], ...]
            options = get_args(options[0])
        if options and all(isinstance(option, str) for option in options):
            found[name] = options
    return found


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _conformed(value: Any, hint: Any) -> Any:
    """The value as the annotation has it; a TypeError says in words what would do."""
    options = get_args(hint)
    if isinstance(hint, types.UnionType):  # X | None
        plain = next(option for option in options if option is not type(None))
        if value is None:
            return None
        try:
            return _conformed(value, plain)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(f"{_words(plain)}, or None") from None
    if get_origin(hint) is tuple:
        try:
            if isinstance(value, list | tuple):
                return tuple(_conformed(item, options[0]) for item in value)
        except (TypeError, ValueError, OverflowError):
            pass
        raise TypeError(_words(hint))
    kind = str if get_origin(hint) is Literal else hint
    if isinstance(value, np.generic):
        value = value.item()
    fits = {
        bool: isinstance(value, bool),
        int: isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63,
        # Of a whole number it is asked without making it a float, for which it may be too large.
        float: isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST,
        str: isinstance(value, str),
    }
    if not fits[kind]:
        raise TypeError(_words(hint))
    return value


def _words(hint: Any) -> str:
    options = get_args(hint)
    if get_origin(hint) is tuple:
        return f"a list, each entry {_words(options[0])}"
    return "one of " + ", ".join(options) if get_origin(hint) is Literal else _WORDS[hint]
