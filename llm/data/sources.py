"""Where documents come from: the embedded corpus, files, saved datasets and the hub, all as rows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from llm.config import RunConfig
from llm.data.files import FORMATS, Rows, read_file, read_texts
from llm.names import CNN_DAILYMAIL
from toymodel.base.errors import InputError
from toymodel.base.files import kind_of
from toymodel.base.words import arg

__all__ = ["Source", "open_source", "readable"]

_TEXT_FIELDS = ("text", "article")
SUMMARY_FIELD = "highlights"
_LONE = re.compile("[\ud800-\udfff]")
_LOOKED_AT = 200  # rows, to say which of a user's fields holds text


@dataclass(frozen=True)
class Source:
    """Rows of text.

    Attributes:
        size: number of rows.
        row: fields of row i.
        corpus: whether the rows are a pool to draw from, rather than a sequence with an order of its own.
        hub: whether it comes over the network, where the model's tokenizer can be had too.
        origin: what the manifest says of it.
        places: where in its file each row stands; None for tables.
        notes: what a reader should know of it, a sentence each.
    """

    size: int
    row: Callable[[int], Mapping[str, Any]]
    corpus: bool = False
    hub: bool = False
    origin: Mapping[str, Any] = field(default_factory=dict)
    places: list[str] | None = None
    notes: tuple[str, ...] = ()

    def name(self, index: int) -> str:
        """What a row is called: by itself (field ``name``; in tables also ``id``), or by its place."""
        row = self.row(index)
        own = row.get("name", None if self.places else row.get("id"))
        return readable(str(own if own is not None else self.place(index)))[0]

    def place(self, index: int) -> str:
        """Where a row stands."""
        return self.places[index] if self.places else f"row {index}"

    def text(self, index: int, name: str | None = None) -> str:
        """Text of a row: the named field, else the source's own, ``text`` or ``article``; as it was read.

        Raises:
            InputError: for a row without it, with a field of the source's own that holds text in every row.
        """
        key = name or self._field
        found = self.row(index).get(key) if key else None
        if isinstance(found, str):
            return found
        raise self._textless(index, key)

    @cached_property
    def _field(self) -> str | None:
        """The same field for every row, or rows could be of different kinds without a word."""
        first = self.row(0)
        found = [key for key in _TEXT_FIELDS if isinstance(first.get(key), str)]
        if len(found) > 1:
            raise InputError(
                f"{self.place(0)} of {self.origin.get('name')!r} has both {' and '.join(map(repr, found))}",
                expected="one of them, or which of them is meant",
                fix=" or ".join(arg("text_field", key) for key in found),
            )
        return found[0] if found else None

    def _textless(self, index: int, key: str | None) -> InputError:
        row, wanted = self.row(index), (key,) if key else _TEXT_FIELDS
        field = " or ".join(map(repr, wanted))
        there = next((name for name in wanted if name in row), None)
        held = f"{there!r} with {_kind(row[there])}" if there else ", ".join(map(repr, row)) or "nothing"
        strings = [name for name, value in row.items() if isinstance(value, str)]
        fix: str
        if others := self._fields_of_text():
            fix = arg("text_field", others[0])
        elif strings and not there and not key:
            fix = arg("text_field") + " with the field that holds the text, or add one that is called 'text'"
        elif there or not strings:
            fix = f'give every row its text in quotes: {{"{wanted[0]}": "..."}}'
        else:
            longest = max(strings, key=lambda name: len(row[name]))
            fix = f"rename {longest!r} there, so that every row has {field}"
        return InputError(f"{self.place(index)} of {self.origin.get('name')!r} holds {held}",
                          expected=f"text in the field {field} of every row", fix=fix)  # fmt: skip

    def _fields_of_text(self) -> list[str]:
        """Fields that hold text in every row that is looked at, the most of it first; labels are none.

        A label is short or repeated: text has several words in the middle row and differs between rows.
        """
        rows = [self.row(index) for index in range(min(self.size, _LOOKED_AT))]
        found = {}
        for key in rows[0]:
            texts = [row[key] for row in rows if isinstance(row.get(key), str)]
            words = sorted(len(text.split()) for text in texts)
            several = bool(words) and words[len(words) // 2] >= 3 and 2 * len(set(texts)) >= len(texts)
            if len(texts) == len(rows) and (several or len(rows[0]) == 1):
                found[key] = sum(map(len, texts))
        return sorted(found, key=lambda key: -found[key])


def open_source(config: RunConfig) -> Source:
    """Open what ``--documents`` names; rows of datasets are read when they are asked for.

    Raises:
        InputError: for a source that is missing, empty, damaged, gated or needs a script of its own.
    """
    name, path = config.documents, Path(config.documents)
    if name == "embedded":
        return _embedded(config.num_documents)
    if path.is_file():
        if (rows := read_file(path)) is not None:
            return _of_rows(path, rows, corpus=path.suffix.lower() == ".parquet")
        raise InputError(
            arg("documents", name) + " is a file of another kind",
            expected=f"a {', '.join(FORMATS)} file, or but for parquet with .gz behind that",
            fix='write a line {"text": "..."} per document into a .jsonl file',
        )
    if path.is_dir():
        return _folder(path, config)
    if path.exists():
        raise InputError(arg("documents", name) + f" is {kind_of(path)}",
                         expected="a file, or a folder of .txt files",
                         fix="write the texts into a .jsonl file first")  # fmt: skip
    if name == "cnn_dailymail" or (name.count("/") == 1 and not path.suffix):
        from llm.data.hub import load_hub_dataset

        hub_name, subset = CNN_DAILYMAIL if name in ("cnn_dailymail", CNN_DAILYMAIL[0]) else (name, None)
        table, origin = load_hub_dataset(
            hub_name, config.documents_subset or subset, config.documents_split, config.documents_revision
        )
        return _table(table, origin, hub=True)
    raise InputError(
        arg("documents", name) + ": there is no such file",
        expected=f"'embedded', 'cnn_dailymail', a hub dataset (owner/name), a {', '.join(FORMATS)} file, "
        "a saved dataset or a folder of .txt files",
        fix=_near(path),
    )


def readable(text: str) -> tuple[str, int]:
    """The text with lone surrogates replaced by U+FFFD, and how many there were.

    Half of a character, as a JSON escape of one code unit leaves it; no encoder takes it.
    """
    return _LONE.subn("\ufffd", text)


def _near(path: Path) -> str:
    """A name that exists and is nearly what was written."""
    known = {name: arg("documents", name) for name in ("embedded", "cnn_dailymail")}
    if path.parent.is_dir():
        known |= {other.name: arg("documents", path.parent / other.name) for other in path.parent.iterdir()}
    near = difflib.get_close_matches(path.name, known, n=1, cutoff=0.6)
    return known[near[0]] if near else f"check the path (relative ones start from {Path.cwd()})"


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return "null" if value is None else kinds.get(type(value), f"a {type(value).__name__}")


def _embedded(number: int) -> Source:
    from llm.data.corpus import embedded_corpus

    rows = [{"name": name, "text": text} for name, text in embedded_corpus(number).items()]
    return Source(len(rows), rows.__getitem__, corpus=True, origin={"name": "embedded"})


def _of_rows(path: Path, found: Rows, corpus: bool = False) -> Source:
    places = None if corpus else found.places
    return Source(len(found.rows), found.rows.__getitem__, corpus=corpus, origin={"name": str(path)},
                  places=places, notes=found.notes)  # fmt: skip


def _folder(path: Path, config: RunConfig) -> Source:
    saved = (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()
    if not saved and (texts := read_texts(path)) is not None:
        return _of_rows(path, texts)
    if not any(path.rglob("*.*")):
        raise InputError(f"folder {str(path)!r} is empty", expected="one .txt file per document, or a saved "
                         "dataset", fix="name a folder with documents in it")  # fmt: skip
    from llm.data.hub import load_local_dataset

    table, origin = load_local_dataset(path, config.documents_subset, config.documents_split)
    return _table(table, origin)


def _table(table: Any, origin: Mapping[str, Any], hub: bool = False) -> Source:
    return Source(len(table), table.__getitem__, corpus=True, hub=hub, origin=origin)
