"""Where documents come from: the embedded corpus, files, saved datasets and the hub, all as rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm.config import RunConfig
from llm.names import CNN_DAILYMAIL
from toymodel.base.errors import InputError
from toymodel.base.words import nearest

__all__ = ["Source", "open_source"]

_TEXT_FIELDS = ("text", "article")
SUMMARY_FIELD = "highlights"


@dataclass(frozen=True)
class Source:
    """Rows of text.

    Attributes:
        size: number of rows.
        row: fields of row i.
        corpus: whether the rows are a pool to draw from, rather than a sequence with an order of its own.
        hub: whether it comes over the network, where the model's tokenizer can be had too.
        origin: what the manifest says of it.
    """

    size: int
    row: Callable[[int], Mapping[str, Any]]
    corpus: bool = False
    hub: bool = False
    origin: Mapping[str, Any] = field(default_factory=dict)

    def text(self, index: int, name: str | None) -> str:
        """Text of a row: the named field, or the first of ``text`` and ``article`` that is there.

        Raises:
            InputError: for a row without it.
        """
        row = self.row(index)
        wanted = (name,) if name else _TEXT_FIELDS
        for key in wanted:
            if isinstance(row.get(key), str):
                return str(row[key])
        raise InputError(
            f"row {index + 1} of {self.origin.get('name')!r} holds {', '.join(map(repr, row)) or 'nothing'}",
            expected="text in the field " + " or ".join(map(repr, wanted)),
            fix=f"--text-field {next(iter(row), 'NAME')}",
        )


def open_source(config: RunConfig) -> Source:
    """Open what ``--documents`` names; rows are read when they are asked for.

    Raises:
        InputError: for a source that is missing, empty, damaged, gated or needs a script of its own.
    """
    name, path = config.documents, Path(config.documents)
    if name == "embedded":
        return _embedded(config.num_documents)
    if path.is_file():
        if path.suffix == ".parquet":
            return _parquet(path)
        if path.suffix == ".jsonl":
            return _jsonl(path)
    elif path.is_dir():
        return _folder(path, config)
    elif name == "cnn_dailymail" or (name.count("/") == 1 and not path.suffix):
        from llm.data.hub import load_hub_dataset

        hub_name, subset = CNN_DAILYMAIL if name in ("cnn_dailymail", CNN_DAILYMAIL[0]) else (name, None)
        table, origin = load_hub_dataset(
            hub_name, config.documents_subset or subset, config.documents_split, config.documents_revision
        )
        return _table(table, origin, hub=True)
    raise InputError(
        f"--documents {name}",
        expected="'embedded', 'cnn_dailymail', a hub dataset (owner/name), an existing .jsonl or .parquet "
        "file, a saved dataset or a folder of .txt files",
        fix=f"--documents {nearest(name, ('embedded', 'cnn_dailymail'))}",
    )


def _embedded(number: int) -> Source:
    from llm.data.corpus import embedded_corpus

    rows = [{"name": name, "text": text} for name, text in embedded_corpus(number).items()]
    return Source(len(rows), rows.__getitem__, corpus=True, origin={"name": "embedded"})


def _jsonl(path: Path) -> Source:
    rows: list[Mapping[str, Any]] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"a {type(row).__name__}, not an object")
        except ValueError as error:
            raise InputError(
                f"line {number} of {str(path)!r} is no document ({error})",
                expected='a JSON object with the field "text" or "article"',
                fix='{"text": "..."} on a line of its own',
            ) from error
        rows.append({"name": f"line {number}"} | row)
    return Source(len(rows), rows.__getitem__, origin={"name": str(path)})


def _folder(path: Path, config: RunConfig) -> Source:
    if files := sorted(path.glob("*.txt")):
        rows = [{"name": file.name, "text": _read_text(file)} for file in files]
        return Source(len(rows), rows.__getitem__, origin={"name": str(path)})
    if not any(path.rglob("*.*")):
        raise InputError(f"folder {str(path)!r} is empty", expected="one .txt file per document, or a saved "
                         "dataset", fix="--documents embedded, or name another folder")  # fmt: skip
    from llm.data.hub import load_local_dataset

    table, origin = load_local_dataset(path, config.documents_subset, config.documents_split)
    return _table(table, origin)


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{str(file)!r} is not UTF-8 text ({error.reason} at byte {error.start})",
            expected="plain text in UTF-8",
            fix=f"convert it: iconv -t UTF-8 {file.name} -o {file.name}.utf8, or move it out of the folder",
        ) from error


def _parquet(path: Path) -> Source:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(f"--documents {path} without pyarrow", expected="pyarrow, which reads parquet files",
                         fix="pip install pyarrow")  from error  # fmt: skip
    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{str(path)!r} cannot be read as parquet ({error})".splitlines()[0],
                         expected="a whole parquet file", fix="copy it again")  from error  # fmt: skip
    return Source(len(rows), rows.__getitem__, origin={"name": str(path)}, corpus=True)


def _table(table: Any, origin: Mapping[str, Any], hub: bool = False) -> Source:
    return Source(len(table), table.__getitem__, corpus=True, hub=hub, origin=origin)
