"""Which tokenizer turns text into ids."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.config import RunConfig
from llm.data.gguf import is_gguf, library_arguments, loading_gguf, quantization
from llm.data.quiet import quiet
from llm.data.sources import Source, readable
from llm.names import hub_id
from toymodel.base.errors import InputError
from toymodel.base.words import arg, first_line

__all__ = ["Tokenizer", "choose_tokenizer", "named_tokenizer"]

_TRAINED_ON = 2000  # texts; more change a vocabulary of 1024 no longer
_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model", "spiece.model", "vocab.txt",
          "sentencepiece.bpe.model", "tiktoken.model", "tekken.json")  # fmt: skip


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

    What ``--tokenizer`` names; else the model's own, where its weights are pretrained, its folder or file
    holds one, or the documents come over the network anyway; else, for random weights alone, a BPE of 1024
    tokens (or of the embedding's rows where a folder's model has fewer) trained on the source's texts, which
    needs no download.

    Raises:
        InputError: for a tokenizer that is missing or damaged; trained weights know the ids of their own.
    """
    if config.tokenizer:
        return named_tokenizer(config.tokenizer)
    folder = Path(config.model)
    if is_gguf(folder) or any((folder / name).is_file() for name in _FILES):
        return named_tokenizer(config.model)
    if not folder.is_dir() and (name := hub_id(config.model)):
        if config.weights == "pretrained" or source.hub:
            return named_tokenizer(name, config.revision)
    elif folder.is_dir() and config.weights == "pretrained":
        raise InputError(
            arg("model", config.model) + " holds no tokenizer",
            expected="the one that its weights were trained with",
            fix=arg("tokenizer")
            + " with the folder or file that holds it, or copy it into the model's folder",
        )
    from llm.data.corpus import EMBEDDED_VOCABULARY, train_tokenizer

    texts = [source.text(row, config.text_field) for row in range(min(source.size, _TRAINED_ON))]
    size = min(EMBEDDED_VOCABULARY, _rows(folder) or EMBEDDED_VOCABULARY)
    made = train_tokenizer([readable(text)[0] for text in texts], size)
    return _wrap(made, f"byte-level BPE of {made.get_vocab_size()} tokens trained on the documents' source")


def _rows(folder: Path) -> int | None:
    """Rows of the embedding that a model's folder describes; None where it does not say."""
    try:
        return int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None  # what is wrong with the model is said where it is built


def named_tokenizer(name: str, revision: str | None = None) -> Tokenizer:
    """The tokenizer in a file or folder, or of a hub model.

    Raises:
        InputError: for one that is missing or damaged.
    """
    path = Path(name)
    if not path.exists():
        if name.count("/") != 1 or path.suffix:
            raise InputError(
                arg("tokenizer", name),
                expected="a tokenizer.json or .gguf file, a folder that holds one, or a hub id (owner/name)",
                fix=arg("tokenizer", "FOLDER/tokenizer.json"),
            )
        from llm.data.hub import fetch_model

        path = fetch_model(name, revision, weights=False)
    if is_gguf(path):
        return _of_library(path, name)
    file = path / "tokenizer.json" if path.is_dir() else path
    if file.is_file():
        return _wrap(_fast(file), name)
    return _of_library(path, name)


def _fast(file: Path) -> Any:
    from tokenizers import Tokenizer as Fast

    try:
        fast = Fast.from_file(str(file))
    except Exception as error:  # the library raises plain Exception
        raise InputError(
            f"{str(file)!r} is no tokenizer ({first_line(error)})",
            expected="a tokenizer.json file",
            fix="copy it again from the model's folder",
        ) from error
    fast.no_truncation()
    fast.no_padding()
    return fast


def _of_merges(folder: Path) -> Any:
    """A byte-level BPE from GPT-2's pair of files, which say nothing of how text is cut before it is merged.

    Raises:
        InputError: for a damaged pair, or one whose tokens are not bytes: it is cut in a way of its own.
    """
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers

    files = str(folder / "vocab.json"), str(folder / "merges.txt")
    try:
        fast = Fast(models.BPE.from_file(*files))
    except Exception as error:
        raise InputError(f"{files[0]!r} and merges.txt are no tokenizer ({first_line(error)})",
                         expected="the pair as it was saved", fix="copy both again") from error  # fmt: skip
    if missing := [c for c in pre_tokenizers.ByteLevel.alphabet() if fast.token_to_id(c) is None]:
        raise InputError(
            f"{files[0]!r} lacks {len(missing)} of the 256 bytes, so it is no byte-level BPE",
            expected="a tokenizer.json, which says how text is cut into tokens",
            fix="save it with AutoTokenizer.from_pretrained(...).save_pretrained(...) where it loads",
        )
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    return fast


def _of_library(path: Path, name: str) -> Tokenizer:
    """What the library makes of other files, of a GGUF file among them."""
    from transformers import AutoTokenizer

    if more := library_arguments(path)[1]:
        quantization(path)
    elif not any((path / file).is_file() for file in _FILES):
        raise InputError(
            f"folder {str(path)!r} holds no tokenizer",
            expected=f"one of {', '.join(_FILES)}",
            fix=arg("tokenizer") + " with a folder or a tokenizer.json file that holds one",
        )
    try:
        with quiet():
            own = AutoTokenizer.from_pretrained(library_arguments(path)[0], trust_remote_code=False, **more)
        found = Tokenizer(lambda text: list(own(text, verbose=False)["input_ids"]), len(own), name)
        # Where the library finds no vocabulary it makes an empty one, and says nothing.
        if not own.get_vocab().keys() - set(own.all_special_tokens) - own.get_added_vocab().keys():
            raise ValueError("it has no vocabulary")
    except Exception as error:  # sentencepiece's, json's, the library's own
        if (path / "vocab.json").is_file() and (path / "merges.txt").is_file():
            return _wrap(_of_merges(path), f"{name}, vocab.json and merges.txt, text cut as GPT-2's")
        if more and "architecture" in str(error):  # the library reads it before the tokenizer
            raise loading_gguf(path, error) from error
        problem = f"the tokenizer in {str(path)!r} does not load ({first_line(error)})"
        fix = "copy it again, or save it as tokenizer.json (save_pretrained) where it loads"
        for file in (path / name for name in _FILES if name.endswith(".model")):
            if file.is_file() and not _is_sentencepiece(file):
                problem = f"{str(file)!r} is neither a SentencePiece model nor tiktoken's"
            elif file.is_file() and importlib.util.find_spec("sentencepiece") is None:
                problem, fix = f"{str(file)!r} without the package that reads it", "pip install sentencepiece"
        raise InputError(problem, expected="a whole tokenizer; tokenizer.json takes no further packages",
                         fix=fix) from error  # fmt: skip
    return found


def _is_sentencepiece(file: Path) -> bool:
    """Whether a ``.model`` file begins as one does: a message's first field, or base64 and a rank."""
    begins = file.read_bytes()[:4000]
    return begins.startswith(b"\n") or re.match(rb"[A-Za-z0-9+/]+=* \d+\r?\n", begins) is not None


def _wrap(fast: Any, origin: str) -> Tokenizer:
    return Tokenizer(lambda text: list(fast.encode(text).ids), int(fast.get_vocab_size()), origin)
