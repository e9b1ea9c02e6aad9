"""Documents as token ids: chosen from a source, cut or padded to the context."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm.config import RunConfig
from llm.data.augmentation import IGNORED, stored_length, window
from llm.data.sources import SUMMARY_FIELD, Source, open_source, readable
from llm.data.tokenization import choose_tokenizer
from toymodel.base.errors import InputError
from toymodel.base.words import arg

__all__ = ["Documents", "load_documents"]

Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class Documents:
    """T documents as token ids.

    Attributes:
        names: where each came from, in training order.
        stored: int64, shape ``(T, L)``, L >= C: the tokens that random windows are cut from, padded with 0.
        lengths: how many of a document's stored tokens are its own.
        tokens: int64, shape ``(T, C)``: what is evaluated, and trained on where nothing is varied.
        labels: int64, shape ``(T, C)``: the tokens, with -100 where there is padding.
        summaries: the same of the documents' summaries, or None.
        summary_labels: theirs.
        vocabulary: number of rows the tokenizer needs in an embedding.
        origin: source, rows and tokenizer, as the manifest records them.
        notes: what a reader should know of them, a sentence each: duplicates, characters replaced.
    """

    names: tuple[str, ...]
    stored: Tokens
    lengths: tuple[int, ...]
    tokens: Tokens
    labels: Tokens
    summaries: Tokens | None
    summary_labels: Tokens | None
    vocabulary: int
    origin: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def padded(self) -> int:
        """How many documents are shorter than the context."""
        return int((self.labels[:, -1] == IGNORED).sum())

    @property
    def sha256(self) -> str:
        """Hash of what the network sees: tokens and labels."""
        digest = hashlib.sha256(self.tokens.tobytes() + self.labels.tobytes())
        if self.stored.shape != self.tokens.shape:
            digest.update(self.stored.tobytes())
        if self.summaries is not None:
            digest.update(self.summaries.tobytes())
        return digest.hexdigest()

    def manifest(self) -> dict[str, Any]:
        """What the manifest says of them."""
        said = {"notes": list(self.notes)} if self.notes else {}
        return {"names": list(self.names), "sha256": self.sha256, "padded": self.padded} | self.origin | said


def load_documents(config: RunConfig) -> Documents:
    """Open the source, choose T rows and tokenize them.

    Raises:
        InputError: for a source or tokenizer that cannot be used, too few documents or an empty one.
    """
    source = open_source(config)
    rows = choose_rows(source, config)
    texts, lone = _read(source, rows, config.text_field)
    names = [source.name(row) for row in rows]
    tokenizer = choose_tokenizer(config, source)
    stored, lengths = _encode(tokenizer, names, texts, stored_length(config))
    tokens = np.zeros((len(rows), config.context), dtype=np.int64)
    labels = np.full_like(tokens, IGNORED)
    for row, length in enumerate(lengths):
        seen = window(length, config)
        piece = stored[row, seen]
        tokens[row, : len(piece)] = piece
        real = max(0, min(length - seen.start, config.context))
        labels[row, :real] = piece[:real]
    summaries = summary_labels = None
    if config.evaluate_summaries:
        _check_summaries(source, rows)
        written, more = _read(source, rows, SUMMARY_FIELD)
        lone += more
        of = [f"summary of {name}" for name in names]
        summaries, short = _encode(tokenizer, of, written, config.context)
        real_tokens = np.arange(config.context) < np.array(short)[:, None]
        summary_labels = np.where(real_tokens, summaries, IGNORED)
    origin = {"source": dict(source.origin), "rows": rows, "selection": _selection(source, config),
              "tokenizer": tokenizer.origin}  # fmt: skip
    notes = (*source.notes, *_replaced(lone), *_repeated(names, tokens, labels))
    return Documents(tuple(names), stored, lengths, tokens, labels, summaries, summary_labels,
                     tokenizer.size, origin, notes)  # fmt: skip


def choose_rows(source: Source, config: RunConfig) -> list[int]:
    """Row indices of the documents, in training order."""
    number = config.num_documents
    if source.size < number:
        raise InputError(
            f"{source.origin.get('name')!r} holds {source.size} document(s)",
            expected="at least " + arg("num_documents", number),
            fix=arg("num_documents", source.size)
            if source.size >= 2
            else f"put {number} texts into it: a "
            "line of a .txt is one, a row of a table, an object of a .jsonl, or a file of a folder",
        )
    if _selection(source, config) == "seed":
        drawn = np.random.default_rng(config.seed).permutation(source.size)[:number]
        return [int(row) for row in drawn]
    return list(range(number))


def _selection(source: Source, config: RunConfig) -> str:
    """``seed`` or ``order``, decided."""
    return ("seed" if source.corpus else "order") if config.selection == "auto" else config.selection


def _read(source: Source, rows: list[int], name: str | None) -> tuple[list[str], int]:
    """Texts that an encoder takes, and how many lone surrogates were replaced in them."""
    found = [readable(source.text(row, name)) for row in rows]
    return [text for text, _ in found], sum(lone for _, lone in found)


def _check_summaries(source: Source, rows: list[int]) -> None:
    for row in rows:
        if not isinstance(source.row(row).get(SUMMARY_FIELD), str):
            raise InputError(
                f"{source.place(row)} of {source.origin.get('name')!r} has no summary",
                expected=f"its text in the field {SUMMARY_FIELD!r} with " + arg("evaluate_summaries"),
                fix=arg("evaluate_summaries", False),
            )


def _replaced(lone: int) -> list[str]:
    return [f"{lone} half character(s) (lone surrogates) replaced by U+FFFD"] if lone else []


def _repeated(names: list[str], tokens: Tokens, labels: Tokens) -> list[str]:
    """A sentence if the network sees a document more than once: recovery then means something else."""
    first: dict[bytes, int] = {}
    pairs = []
    for row, parts in enumerate(zip(tokens, labels, strict=True)):
        same = first.setdefault(b"".join(part.tobytes() for part in parts), row)
        if same != row:
            pairs.append(f"{names[row]} = {names[same]}")
    if not pairs:
        return []
    some = ", ".join(pairs[:3]) + ", ..." * (len(pairs) > 3)
    return [f"{len(pairs)} of {len(names)} documents repeat another in the tokens that count ({some})"]


def _encode(
    tokenizer: Any, names: list[str], texts: list[str], length: int
) -> tuple[Tokens, tuple[int, ...]]:
    tokens = np.zeros((len(texts), length), dtype=np.int64)
    lengths = []
    for row, (name, text) in enumerate(zip(names, texts, strict=True)):
        ids = tokenizer.encode(text)[:length]
        if len(ids) < 2:
            raise InputError(
                f"document {name!r} has {len(ids)} token(s)",
                expected="at least 2: one to predict from, one to predict",
                fix="remove it from the source or give it text",
            )
        tokens[row, : len(ids)] = ids
        lengths.append(len(ids))
    return tokens, tuple(lengths)
