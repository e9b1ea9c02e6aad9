"""Documents: where they come from, how they become token ids."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm.config import RunConfig
from toymodel.errors import InputError

__all__ = ["Documents", "embedded_corpus", "embedded_tokenizer", "load_documents"]

IGNORED = -100
"""Label of a position that does not count in the loss (the convention of torch's cross entropy)."""
EMBEDDED_VOCABULARY = 1024
_SHORTEST = 1500  # characters; below this an article is a stub that would be mostly padding


@dataclass(frozen=True)
class Documents:
    """T documents as token ids.

    Attributes:
        names: where each came from, in training order.
        tokens: int64, shape ``(T, C)``, padded at the right with 0.
        labels: int64, shape ``(T, C)``: the tokens, with -100 where there is padding.
        padded: how many documents were shorter than C.
        vocabulary: number of rows the tokenizer needs in an embedding.
    """

    names: tuple[str, ...]
    tokens: NDArray[np.int64]
    labels: NDArray[np.int64]
    padded: int
    vocabulary: int

    @property
    def sha256(self) -> str:
        """Hash of what the network sees: tokens and labels."""
        return hashlib.sha256(self.tokens.tobytes() + self.labels.tobytes()).hexdigest()


def embedded_corpus(number: int) -> dict[str, str]:
    """Real English text that every machine has: at least `number` articles, by name.

    The long articles of the Python manual that ship with the standard library (`pydoc_data.topics`); when
    more are asked for than those, the docstrings of NumPy and SciPy. The text follows the installed
    versions, so a run's manifest records the hash of its tokens.

    Raises:
        InputError: when the machine has fewer articles than `number`.
    """
    from pydoc_data.topics import topics

    corpus = {f"python/{k}": v.strip() for k, v in sorted(topics.items()) if len(v) >= _SHORTEST}
    if len(corpus) < number:
        corpus |= _docstrings()
    if len(corpus) < number:
        raise InputError(
            f"--num-documents {number}",
            expected=f"at most {len(corpus)}, the size of the embedded corpus",
            fix=f"--num-documents {len(corpus)}, or give your own: --documents FILE.jsonl",
        )
    return corpus


def _docstrings() -> dict[str, str]:
    """Long docstrings of NumPy's and SciPy's public functions and classes, each text once."""
    import importlib
    import inspect
    import warnings

    found: dict[str, str] = {}
    texts: set[str] = set()
    modules = ["numpy", "numpy.linalg", "numpy.fft", "scipy.linalg", "scipy.optimize", "scipy.signal",
               "scipy.stats", "scipy.interpolate", "scipy.ndimage", "scipy.sparse"]  # fmt: skip
    for module_name in modules:
        module = importlib.import_module(module_name)
        for name in sorted(n for n in dir(module) if not n.startswith("_")):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecated names warn when looked at
                thing = getattr(module, name, None)
            if not callable(thing):
                continue
            text = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
            if len(text) >= _SHORTEST and text not in texts:
                texts.add(text)
                found[f"{module_name}.{name}"] = text
    return found


def embedded_tokenizer(texts: list[str]) -> Any:
    """A byte-level BPE of 1024 tokens trained on the given texts (about a second); a `tokenizers.Tokenizer`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=EMBEDDED_VOCABULARY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def load_documents(config: RunConfig) -> Documents:
    """Read, choose and tokenize the documents of a run.

    From the embedded corpus, `seed` draws which articles and in what order; the lines of a ``.jsonl`` and
    the files of a folder (by name) are taken in their own order. The tokenizer is the checkpoint's where
    the model is a local folder that has one (``tokenizer.json``), else a BPE of 1024 tokens trained on
    the source's own texts.

    Raises:
        InputError: for a missing or empty source, too few documents or an unreadable line.
    """
    if config.documents == "embedded":
        corpus = embedded_corpus(config.num_documents)
        names = sorted(corpus)
        drawn = np.random.default_rng(config.seed).permutation(len(names))[: config.num_documents]
        chosen = [names[i] for i in drawn]
    else:
        corpus = _read_source(Path(config.documents))
        if len(corpus) < config.num_documents:
            raise InputError(
                f"{config.documents!r} holds {len(corpus)} document(s)",
                expected=f"at least --num-documents {config.num_documents}",
                fix=f"--num-documents {len(corpus)}"
                if len(corpus) >= 2
                else "add documents: at least 2 are needed",
            )
        chosen = list(corpus)[: config.num_documents]
    tokenizer = _tokenizer(config, list(corpus.values()))
    return _encode(tokenizer, {name: corpus[name] for name in chosen}, config.context)


def _tokenizer(config: RunConfig, texts: list[str]) -> Any:
    file = Path(config.model) / "tokenizer.json"
    if file.is_file():
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(file))
    return embedded_tokenizer(texts)


def _encode(tokenizer: Any, texts: dict[str, str], context: int) -> Documents:
    tokens = np.zeros((len(texts), context), dtype=np.int64)
    labels = np.full((len(texts), context), IGNORED, dtype=np.int64)
    padded = 0
    for row, (name, text) in enumerate(texts.items()):
        ids = tokenizer.encode(text).ids[:context]
        if len(ids) < 2:
            raise InputError(
                f"document {name!r} has {len(ids)} token(s)",
                expected="at least 2: one to predict from, one to predict",
                fix="remove it from the source or give it text",
            )
        tokens[row, : len(ids)] = ids
        labels[row, : len(ids)] = ids
        padded += len(ids) < context
    return Documents(tuple(texts), tokens, labels, padded, int(tokenizer.get_vocab_size()))


def _read_source(path: Path) -> dict[str, str]:
    if path.is_dir():
        texts = {}
        for p in sorted(path.glob("*.txt")):
            try:
                texts[p.name] = p.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{str(p)!r} is not UTF-8 text ({error.reason} at byte {error.start})",
                    expected="plain text in UTF-8",
                    fix=f"convert it: iconv -t UTF-8 {p.name} -o {p.name}.utf8, or move it out of the folder",
                ) from error
        if not texts:
            raise InputError(f"folder {str(path)!r} holds no .txt file", expected="one .txt file per document",
                             fix="--documents embedded, or name another folder")  # fmt: skip
        return texts
    if path.suffix != ".jsonl" or not path.is_file():
        raise InputError(
            f"--documents {path}",
            expected="'embedded', an existing .jsonl file or a folder of .txt files",
            fix="--documents embedded",
        )
    texts = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            text = record["text"] if "text" in record else record["article"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"line {number} of {str(path)!r} is no document ({type(error).__name__}: {error})",
                expected='a JSON object with the field "text" or "article"',
                fix='{"text": "..."} on a line of its own',
            ) from error
        if not isinstance(text, str):
            raise InputError(f"line {number} of {str(path)!r} has a {type(text).__name__} for its text",
                             expected="a string", fix='{"text": "..."}')  # fmt: skip
        texts[f"line {number}"] = text
    return texts
