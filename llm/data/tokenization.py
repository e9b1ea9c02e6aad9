"""Which tokenizer turns text into ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.config import RunConfig
from llm.data.gguf import is_gguf, library_arguments, loading_gguf, quantization
from llm.data.sources import Source
from llm.names import hub_id
from toymodel.base.errors import InputError

__all__ = ["Tokenizer", "choose_tokenizer"]

_TRAINED_ON = 2000  # texts; more change a vocabulary of 1024 no longer


@dataclass(frozen=True)
class Tokenizer:
    """Text to ids.

    Attributes:
        encode: ids of a text, with the special tokens its own model expects, never cut.
        size: rows it needs in an embedding.
        origin: what the manifest says of it.
    """

    encode: Callable[[str], list[int]]
    size: int
    origin: str


def choose_tokenizer(config: RunConfig, source: Source) -> Tokenizer:
    """The tokenizer of a run.

    What ``--tokenizer`` names; else the model's own, where its weights are pretrained, its folder holds one,
    or the documents come over the network anyway; else a BPE of 1024 tokens (or of the embedding's rows where
    a folder's model has fewer) trained on the source's texts, which needs no download.

    Raises:
        InputError: for a tokenizer that is missing or damaged.
    """
    if config.tokenizer:
        return _load(config.tokenizer)
    folder = Path(config.model)
    if is_gguf(folder):
        return _load(config.model)
    if folder.is_dir():
        if any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json", "tokenizer.model")):
            return _load(config.model)
    elif (name := hub_id(config.model)) and (config.weights == "pretrained" or source.hub):
        return _load(name, config.revision)
    from llm.data.corpus import EMBEDDED_VOCABULARY, train_tokenizer

    texts = [source.text(row, config.text_field) for row in range(min(source.size, _TRAINED_ON))]
    size = min(EMBEDDED_VOCABULARY, _rows(folder) or EMBEDDED_VOCABULARY)
    return _wrap(train_tokenizer(texts, size), "byte-level BPE trained on the documents' source")


def _rows(folder: Path) -> int | None:
    """Rows of the embedding that a model's folder describes; None where it does not say."""
    try:
        return int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # what is wrong with the model is said where it is built


def _load(name: str, revision: str | None = None) -> Tokenizer:
    path = Path(name)
    if not path.exists():
        if name.count("/") != 1 or path.suffix:
            raise InputError(
                f"--tokenizer {name}",
                expected="a tokenizer.json file, a folder that holds one, or a hub id (owner/name)",
                fix="--tokenizer FOLDER/tokenizer.json",
            )
        from llm.data.hub import fetch_model

        path = fetch_model(name, revision, weights=False)
    if is_gguf(path):
        return _of_gguf(path)
    file = path / "tokenizer.json" if path.is_dir() else path
    if file.is_file():
        from tokenizers import Tokenizer as Fast

        try:
            fast = Fast.from_file(str(file))
        except Exception as error:  # the library raises plain Exception
            raise InputError(f"{str(file)!r} is no tokenizer ({error})", expected="a tokenizer.json file",
                             fix="copy it again from the model's folder") from error  # fmt: skip
        fast.no_truncation()
        fast.no_padding()
        return _wrap(fast, name)
    from transformers import AutoTokenizer

    try:
        slow = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"folder {str(path)!r} holds no tokenizer that loads ({str(error).splitlines()[0]})",
                         expected="a tokenizer.json file", fix="--tokenizer FILE") from error  # fmt: skip
    return Tokenizer(lambda text: list(slow(text, verbose=False)["input_ids"]), len(slow), name)


def _of_gguf(path: Path) -> Tokenizer:
    from transformers import AutoTokenizer

    quantization(path)
    where, more = library_arguments(path)
    try:
        own = AutoTokenizer.from_pretrained(where, trust_remote_code=False, **more)
    except Exception as error:
        raise loading_gguf(path, error) from error
    return Tokenizer(lambda text: list(own(text, verbose=False)["input_ids"]), len(own), str(path))


def _wrap(fast: Any, origin: str) -> Tokenizer:
    return Tokenizer(lambda text: list(fast.encode(text).ids), int(fast.get_vocab_size()), origin)
