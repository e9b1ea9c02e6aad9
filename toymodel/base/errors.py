"""The one error that bad input raises, anywhere in the instrument."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from toymodel.base.words import arg, in_flags


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line with three parts: what is wrong (with the value), what was expected, and
    a line that fixes it. The command line prints it and exits with code 2.

    Arguments are named by `toymodel.base.words`, so that Python reads ``lr=0.1`` and the command line,
    which shows `in_flags`, ``--lr 0.1``.

    Args:
        problem: what is wrong, with the offending value.
        expected: what would have been accepted.
        fix: something to type or change that makes it work.
    """

    def __init__(self, problem: str, *, expected: str, fix: str) -> None:
        self.problem = problem
        self.expected = expected
        self.fix = fix
        # One line, whatever is in a name or in another library's message.
        line = f"{problem}; expected {expected}. Fix: {fix}"
        super().__init__(line.replace("\r", "\\r").replace("\n", "\\n"))

    def in_flags(self, flags: Mapping[str, str]) -> InputError:
        """The same in the words of a command, given the flag of each argument that has one."""
        problem, expected, fix = (in_flags(text, flags) for text in (self.problem, self.expected, self.fix))
        return InputError(problem, expected=expected, fix=fix)

    def __reduce__(self) -> tuple[object, tuple[str, str, str]]:
        # Keyword-only arguments do not survive the default pickling that process pools rely on.
        return _rebuild, (self.problem, self.expected, self.fix)


def _rebuild(problem: str, expected: str, fix: str) -> InputError:
    return InputError(problem, expected=expected, fix=fix)


def refuse_ignored(given: Mapping[str, Any], defaults: Mapping[str, Any], beside: str) -> None:
    """Refuse what was given where it would change nothing: who gave it would believe that it did.

    Args:
        given: values by argument, of those that change nothing.
        defaults: their defaults among others; what has its default was not given.
        beside: what makes them change nothing, in words.

    Raises:
        InputError: for the first that was given.
    """
    for name, value in given.items():
        if value != defaults[name]:
            usual = defaults[name]
            raise InputError(
                arg(name, value) + " changes nothing with " + beside,
                expected="one of the two",
                fix="leave out "
                + arg(name, value)
                + (", or " + arg(name, usual) if usual not in (None, ()) else ""),
            )


def defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Defaults of a function's arguments, by name."""
    return {name: p.default for name, p in inspect.signature(function).parameters.items()}
