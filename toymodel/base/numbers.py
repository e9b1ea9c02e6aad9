"""Numbers as they are given: what is none, or out of range, is refused by its name."""

from __future__ import annotations

import math
import operator
from typing import Any

from toymodel.base.errors import InputError
from toymodel.base.words import arg, as_given

__all__ = ["real", "whole"]

_MOST = 2**63


def whole(name: str, value: Any, *, least: int = 1 - _MOST, fix: int = 5) -> int:
    """A whole number of at least `least` and below 2**63; those of NumPy, and 3.0, are ones.

    Raises:
        InputError: for anything else.
    """
    try:
        number = int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
    except TypeError:
        number = least - 1
    if not least <= number < _MOST:
        words = "a whole number" if least <= 1 - _MOST else f"a whole number, at least {least}"
        words += " and below 2**63" if number >= _MOST else ""
        raise InputError(as_given(name, value), expected=words, fix=arg(name, fix))
    return number


def real(
    name: str, value: Any, *, least: float = -math.inf, above: float = -math.inf, fix: float = 1
) -> float:
    """A finite number of at least `least` that is above `above`.

    Raises:
        InputError: for anything else.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number >= least and number > above):
        words = "a finite number" + (f", at least {least:g}" if least > -math.inf else "")
        words += f" above {above:g}" if above > -math.inf else ""
        raise InputError(as_given(name, value), expected=words, fix=arg(name, fix))
    return number
