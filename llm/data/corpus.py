"""The embedded corpus: real English text on every machine, and a small tokenizer for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write, check_output
from toymodel.base.words import arg

__all__ = ["embedded_corpus", "export_documents", "train_tokenizer"]

EMBEDDED_VOCABULARY = 1024
_SHORTEST = 1500  # characters; below this an article is a stub that would be mostly padding
# SciPy writes some docstrings while it is imported, differently in every process: examples with random
# numbers, and sets of argument names in the order of their hashes.
_MADE_ANEW = ("# may vary", "by position is deprecated")


def embedded_corpus(number: int) -> dict[str, str]:
    """At least `number` articles, by name, in a fixed order.

    The long articles of the Python manual that ship with the standard library (`pydoc_data.topics`); when
    more are asked for than those, the docstrings of NumPy and SciPy. The text follows the installed
    versions, so a run's manifest records the hash of its tokens; `export_documents` fixes it in a file.

    Raises:
        InputError: when the machine has fewer articles than `number`.
    """
    from pydoc_data.topics import topics

    corpus = {f"python/{k}": v.strip() for k, v in sorted(topics.items()) if len(v) >= _SHORTEST}
    if len(corpus) < number:
        corpus = dict(sorted((corpus | _docstrings()).items()))
    if len(corpus) < number:
        raise InputError(
            arg("num_documents", number),
            expected=f"at most {len(corpus)}, the size of the embedded corpus",
            fix=arg("num_documents", len(corpus)) + ", or give your own: " + arg("documents", "FILE.jsonl"),
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
            if len(text) >= _SHORTEST and text not in texts and not any(mark in text for mark in _MADE_ANEW):
                texts.add(text)
                found[f"{module_name}.{name}"] = text
    return found


def train_tokenizer(texts: list[str], size: int = EMBEDDED_VOCABULARY) -> Any:
    """A byte-level BPE of `size` tokens trained on the texts (about a second); a `tokenizers.Tokenizer`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def export_documents(out: str | os.PathLike[str], number: int = 200) -> tuple[Path, Path]:
    """Write the embedded corpus and its tokenizer, so that every machine trains on the same tokens.

    A run with ``--documents OUT.jsonl --selection seed --tokenizer OUT.tokenizer.json`` elsewhere sees the
    tokens that ``--documents embedded`` gives here, for every T that needs the same articles.

    Args:
        out: a ``.jsonl`` file, one article a line with fields ``name`` and ``text``.
        number: the largest T it must serve; from about 30 on it takes NumPy's and SciPy's docstrings too.

    Returns:
        The two files: documents and tokenizer.
    """
    documents = Path(out)
    if documents.suffix != ".jsonl":
        fix = arg("out", documents.with_suffix(".jsonl"))
        raise InputError(arg("out", out), expected="a .jsonl file", fix=fix)
    tokenizer = documents.with_suffix(".tokenizer.json")
    check_output(documents)
    check_output(tokenizer, name="")
    corpus = embedded_corpus(number)
    with atomic_write(documents, "w") as file:
        for name, text in corpus.items():
            file.write(json.dumps({"name": name, "text": text}) + "\n")
    with atomic_write(tokenizer, "w") as file:
        file.write(train_tokenizer(list(corpus.values())).to_str())
    return documents, tokenizer
