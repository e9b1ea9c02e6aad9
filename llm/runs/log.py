"""The log of a run: a JSON object a line, each with its checksum, appended as episodes finish."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toymodel.base.files import atomic_write
from toymodel.base.json_file import parse_object, sealed_object

__all__ = ["append", "read", "rewind"]


def append(file: Path, record: Mapping[str, Any]) -> None:
    """Add one line."""
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(sealed_object(record)) + "\n")


def read(file: Path) -> list[dict[str, Any]]:
    """All records; lines that are damaged, half-written or of no episode are left out."""
    records = []
    for line in _lines(file):
        try:
            record = parse_object(line)
            record["episode"], record["mean_loss"] = int(record["episode"]), float(record["mean_loss"])
        except (ValueError, KeyError, TypeError, OverflowError):
            continue
        records.append(record)
    return records


def rewind(file: Path, episode: int) -> None:
    """Drop lines of episodes that are about to be run again, and all that `read` leaves out."""
    if not file.is_file():
        return
    kept = [record for record in read(file) if record["episode"] <= episode]
    with atomic_write(file, "w") as out:
        out.writelines(json.dumps(sealed_object(record)) + "\n" for record in kept)


def _lines(file: Path) -> list[str]:
    # A byte that is no UTF-8 makes a line that is no record, not a log that cannot be read.
    return file.read_text(encoding="utf-8", errors="replace").split("\n") if file.is_file() else []
