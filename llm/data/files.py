"""Documents in files of every plain format, read with the standard library (parquet alone takes pyarrow).

A row is a mapping of fields to values; `Rows` keeps where in its file each stands, for messages and names.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import shlex
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toymodel.base.errors import InputError
from toymodel.base.json_file import plain_object
from toymodel.base.words import arg

__all__ = ["FORMATS", "Rows", "natural_order", "read_file", "read_texts"]

Row = Mapping[str, Any]

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet")
"""Suffixes that are read; each but the last also with .gz behind it."""


@dataclass(frozen=True)
class Rows:
    """What a file or a folder of files holds.

    Attributes:
        rows: fields and values.
        places: where each row stands (``line 3``), in the same order.
        notes: what a reader should know of it, a sentence each.
    """

    rows: Sequence[Row]
    places: list[str]
    notes: tuple[str, ...] = ()


def read_file(path: Path, suffix: str | None = None) -> Rows | None:
    """The documents of one file; None for a format that is none of `FORMATS`.

    Args:
        path: the file.
        suffix: its format, where its name does not say so.

    Raises:
        InputError: for a file that is damaged, naming the line.
    """
    packed = path.suffix.lower() == ".gz"
    kind = suffix or Path(path.stem if packed else path).suffix.lower()
    if kind == ".parquet" and not packed:
        rows = _parquet(path)
        return Rows(rows, [f"row {number}" for number in range(len(rows))])
    read = _READERS.get(kind)
    return read(path, _bytes(path)) if read else None


def read_texts(folder: Path) -> Rows | None:
    """A document for each ``.txt`` file in a folder and those below it, in natural order; None without any.

    Raises:
        InputError: for a file that is not UTF-8, or a folder that holds documents of another kind as well.
    """
    every = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _hidden(path, folder)]
    texts = [path for path in every if path.suffix.lower() == ".txt"]
    if not texts:
        return None
    others = [path for path in every if path.suffix.lower() != ".txt"]
    if data := [path for path in others if path.suffix.lower() in _TABLES]:
        raise InputError(
            f"folder {str(folder)!r} holds {_count(texts, '.txt file')} and {data[0].name!r}",
            expected="documents of one kind",
            fix=arg("documents", data[0]) + ", or move that file elsewhere",
        )
    places = sorted((path.relative_to(folder).as_posix() for path in texts), key=natural_order)
    rows: list[Row] = [{"text": _decode(folder / place, (folder / place).read_bytes())} for place in places]
    notes = (f"{_count(others, 'other file')} of the folder not read: {_some(others)}",) if others else ()
    return Rows(rows, places, notes)


def natural_order(path: str) -> list[list[tuple[int, int, str]]]:
    """A key that sorts numbers in names by their value: ``doc2`` before ``doc10``, folder by folder."""
    return [[_order(part) for part in re.split(r"(\d+|\.)", name) if part] for name in path.split("/")]


def _order(part: str) -> tuple[int, int, str]:
    """As in a plain sort a suffix comes first, then a number, then letters."""
    return (1, int(part), part) if part.isdecimal() else (0 if part == "." else 2, 0, part)


# A folder that holds one of these besides texts may mean either.
_TABLES = (".parquet", ".arrow", ".jsonl", ".csv", ".tsv")


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)


def _count(things: list[Path], word: str) -> str:
    return f"{len(things)} {word}" + "s" * (len(things) != 1)


def _some(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths[:3]) + ", ..." * (len(paths) > 3)


def _bytes(path: Path) -> bytes:
    if path.suffix.lower() != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{str(path)!r} cannot be unpacked ({error})", expected="a whole gzip file",
                         fix="copy or download it again")  from error  # fmt: skip


def _decode(path: Path, data: bytes, place: str = "") -> str:
    where = f"{place} of {str(path)!r}" if place else repr(str(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise _not_utf8(path, f"{where} is not UTF-8 text ({error.reason} at byte {error.start})",
                        "UTF-16" if wide else "LATIN1") from error  # fmt: skip
    if "\0" in text:  # what is UTF-16 without a mark, or no text at all, decodes as well
        raise _not_utf8(path, f"{where} has zero bytes in it, as UTF-16 and what is no text have", "UTF-16")
    return text


def _not_utf8(path: Path, problem: str, coding: str) -> InputError:
    name = shlex.quote(str(path))
    unpack = f"zcat {name} | iconv -f {coding} -t UTF-8 | gzip > converted && mv converted {name}"
    plain = f"iconv -f {coding} -t UTF-8 {name} > converted && mv converted {name}"
    return InputError(problem, expected="plain text in UTF-8",
                      fix=f"convert it, from {coding} say: " + (
                          unpack if path.suffix.lower() == ".gz" else plain))  # fmt: skip


def _numbered(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, counted from 1. Bytes are split at line ends alone, not at U+2028."""
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if line.strip():
            yield number, line


def _jsonl(path: Path, data: bytes) -> Rows:
    rows: list[Row] = []
    places: list[str] = []
    for number, line in _numbered(data):
        try:
            row = plain_object(line)
        except ValueError as error:
            raise InputError(
                f"line {number} of {str(path)!r} is no document ({error})",
                expected='a JSON object with the field "text" or "article"',
                fix='{"text": "..."} on a line of its own',
            ) from error
        rows.append(row)
        places.append(f"line {number}")
    return Rows(rows, places)


def _json(path: Path, data: bytes) -> Rows:
    fix = '[{"text": "..."}, {"text": "..."}]'
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        if "Extra data" in str(error):
            fix = f"rename it to {path.name.replace('.json', '.jsonl')} if it has an object a line"
        raise InputError(f"{str(path)!r} is no JSON ({error})", expected="a list of objects or texts",
                         fix=fix) from error  # fmt: skip
    if isinstance(found, dict) and found and all(isinstance(value, str) for value in found.values()):
        return Rows([{"text": text} for text in found.values()], list(found))
    if not isinstance(found, list):
        held = f"an object of {', '.join(map(repr, list(found)[:4]))}" if isinstance(found, dict) else found
        raise InputError(f"{str(path)!r} holds {held!s:.80}", expected="a list of objects or of texts, or an "
                         "object of texts by name", fix=fix)  # fmt: skip
    rows = [{"text": row} if isinstance(row, str) else row for row in found]
    places = [f"item {number}" for number in range(1, 1 + len(rows))]
    for row, place in zip(rows, places, strict=True):
        if not isinstance(row, dict):
            raise InputError(f"{place} of {str(path)!r} is a {type(row).__name__}",
                             expected="an object or a text", fix=fix)  # fmt: skip
    return Rows(rows, places)


def _lines(path: Path, data: bytes) -> Rows:
    rows: list[Row] = []
    places: list[str] = []
    for number, line in _numbered(data):
        rows.append({"text": _decode(path, line, f"line {number}").strip()})
        places.append(f"line {number}")
    return Rows(rows, places, (f"each line of {path.name} is a document",))


def _csv(path: Path, data: bytes) -> Rows:
    text = _decode(path, data)
    header = text.partition("\n")[0]
    delimiter = "\t" if ".tsv" in path.name.lower() else ";" if ";" in header and "," not in header else ","
    csv.field_size_limit(2**31 - 1)
    # A row may span many lines, so it begins where the last one ended.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    places: list[str] = []
    names, begun = None, 1
    try:
        for cells in reader:
            place, begun = f"line {begun}", 1 + reader.line_num
            if not any(cells):
                continue
            if names is None:
                names = _header(path, cells)
            elif len(cells) != len(names):
                raise csv.Error(f"{place} has {len(cells)} fields, the first line {len(names)}")
            else:
                rows.append(dict(zip(names, cells, strict=True)))
                places.append(place)
    except csv.Error as error:
        raise InputError(
            f"{str(path)!r} is no table ({error})",
            expected="a line of field names, then as many fields in every row",
            fix='put "..." around texts, and write " in them twice',
        ) from error
    return Rows(rows, places)


def _header(path: Path, names: list[str]) -> list[str]:
    odd = next((n for n in names if not n.strip() or len(n) > 60 or len(n.split()) > 5), None)
    if odd is not None or len(set(names)) < len(names):
        problem = f"names {odd[:40]!r}..." if odd else f"names a field twice: {', '.join(names)}"
        raise InputError(f"the first line of {str(path)!r} {problem}", expected="the names of the fields",
                         fix="put a line of names above the rows, e.g. " + ",".join(
                             "text" if n == max(names, key=len) else f"field{k}" for k, n in enumerate(names))
                         )  # fmt: skip
    return names


def _parquet(path: Path) -> list[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            arg("documents", path) + " without pyarrow",
            expected="pyarrow, which reads parquet files",
            fix="pip install pyarrow",
        ) from error
    try:
        found: list[Row] = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{str(path)!r} cannot be read as parquet ({error})".splitlines()[0],
                         expected="a whole parquet file", fix="copy it again")  from error  # fmt: skip
    return found


_READERS: dict[str, Callable[[Path, bytes], Rows]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _csv,
    ".txt": _lines,
}
