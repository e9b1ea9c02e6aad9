"""JSON files of ours: an object, written whole, with a checksum of its own content."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toymodel.base.checksum import agrees, checksum
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write
from toymodel.base.words import one_line

__all__ = ["parse_object", "plain_object", "read_json", "sealed_object", "write_json"]

KEY = "checksum"


def write_json(path: str | os.PathLike[str], values: Mapping[str, Any]) -> None:
    """Write an object, with its checksum under the key ``checksum``; whole or not at all."""
    with atomic_write(path, "w") as file:
        json.dump(sealed_object(values), file, indent=2)
        file.write("\n")


def read_json(path: str | os.PathLike[str], *, fix: str) -> dict[str, Any]:
    """Read an object, without its checksum; files that were written without one are read all the same.

    Args:
        path: the file.
        fix: what its reader can do about a damaged one.

    Raises:
        InputError: for what is missing, no JSON object, nested too deep, or not as it was written.
    """
    file = Path(path)
    try:
        return parse_object(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = one_line(error)
        raise InputError(
            f"{str(file)!r} cannot be read ({reason})", expected="the JSON object that was written", fix=fix
        ) from error


def sealed_object(values: Mapping[str, Any], key: str = KEY) -> dict[str, Any]:
    """The object with its checksum."""
    return {**values, key: checksum([_canonical(values)])}


def parse_object(text: str, key: str = KEY) -> dict[str, Any]:
    """An object from its text, the checksum tested and removed if there is one.

    Raises:
        ValueError: for anything else.
    """
    values = plain_object(text)
    expected = values.pop(key, None)
    if expected is not None and not agrees(expected, [_canonical(values)]):
        raise ValueError("it was altered since it was written: its checksum does not agree")
    return values


def plain_object(text: str | bytes) -> dict[str, Any]:
    """An object from its text.

    Raises:
        ValueError: for anything else.
    """
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(values, dict):
        raise ValueError(f"a JSON {type(values).__name__}, not an object")
    return values


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)
