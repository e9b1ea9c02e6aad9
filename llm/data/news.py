"""Real news without a hub: articles of a corpus that has one a line, the long and different ones kept.

The Lee background corpus (Lee, Pincombe and Welsh 2005) is 300 articles of the Australian Broadcasting
Corporation; the package gensim ships it. It is read from there and never copied into this project.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path

from llm.config import RunConfig
from llm.data.files import read_file
from llm.data.tokenization import named_tokenizer
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write
from toymodel.base.words import arg

__all__ = ["News", "write_news"]

_PLACE = ("test", "test_data", "lee_background.cor")
_LEE = "5d78d6dafd953bbf65797bef09a9ffb9ec430583381be705f8fd460000f370fb"
# Which of its articles have at least 257 tokens under both tokenizers of the recorded runs, GPT-NeoX's and
# SmolLM2's (`--tokenizer` with GPT-NeoX's chooses the same): named here, so that neither is needed.
_LONG = """
0 6 8 12 17 25 31 33 34 35 36 37 40 44 48 49 52 58 60 61 64 74 78 79 81 82 83 84 87 88 90 93 96 98 99
104 105 106 107 109 114 116 118 125 127 129 130 131 132 134 138 140 144 145 147 150 151 152 153 157 161
167 168 172 179 183 184 191 195 200 203 204 212 213 214 217 220 224 232 233 241 243 249 250 251 255 257
259 260 267 268 272 274 283 284 299
"""


@dataclass(frozen=True)
class News:
    """What was written.

    Attributes:
        file: the documents, named by corpus and line counted from 0.
        articles: of the corpus.
        kept: of them.
        repeated: articles that are the same as one before them.
        rule: which articles are long enough.
        sha256: of the file.
    """

    file: Path
    articles: int
    kept: int
    repeated: int
    rule: str
    sha256: str

    def __str__(self) -> str:
        short = self.articles - self.repeated - self.kept
        rest = f"{short} are shorter and {self.repeated} repeat another"
        return (
            f"{self.file}: {self.kept} of {self.articles} articles kept, {self.rule}; {rest}; "
            f"sha256 {self.sha256[:12]}"
        )


def write_news(corpus: str, out: str | os.PathLike[str], config: RunConfig) -> News:
    """Choose the different, long articles of a corpus and write them as documents.

    Args:
        corpus: ``gensim``, whose copy of the Lee background corpus is read where that package is installed
            (its code is not run), or a file with an article a line.
        out: a ``.jsonl`` file; ``{"name": "lee-N", "text": ...}`` a line, in the order of the corpus.
        config: a `tokenizer` and `context` C keep the articles of more than C tokens. Without a tokenizer
            those of the recorded runs are kept, which are known for the Lee corpus alone.

    Raises:
        InputError: for a corpus that is missing or without a long article, or one without a tokenizer.
    """
    target = Path(out)
    if target.suffix != ".jsonl":
        fix = arg("out", target.with_suffix(".jsonl"))
        raise InputError(arg("out", out), expected="a .jsonl file", fix=fix)
    file = _of_gensim() if corpus == "gensim" else Path(corpus)
    if not file.is_file():
        raise InputError(
            arg("news", corpus) + ": there is no such file",
            expected="a file with an article a line",
            fix=arg("news", "gensim") + ", where that package is installed",
        )
    lee = hashlib.sha256(file.read_bytes()).hexdigest() == _LEE
    articles = _articles(file)
    different = {text: line for line, text in reversed(articles.items())}  # the first of equal ones stays
    if config.tokenizer:
        tokenizer = named_tokenizer(config.tokenizer)
        chosen = {n: t for t, n in different.items() if len(tokenizer.encode(t)) > config.context}
        rule = f"those of more than {config.context} tokens by {tokenizer.origin}"
    elif lee:
        chosen = {line: articles[line] for line in map(int, _LONG.split())}
        rule = "those of more than 256 tokens by both tokenizers of the recorded runs"
    else:
        raise InputError(
            arg("news", corpus)
            + " is not the Lee background corpus as it was when the recorded runs were made",
            expected="a tokenizer, which says which articles are longer than " + arg("context"),
            fix=arg("tokenizer", "FILE"),
        )
    if not chosen:
        raise InputError(arg("news", corpus) + f" has no article of more than {config.context} tokens",
                         expected="an article a line", fix=arg("context", config.context // 2))  # fmt: skip
    name = "lee" if lee else file.stem
    lines = [json.dumps({"name": f"{name}-{n}", "text": t}) + "\n" for n, t in sorted(chosen.items())]
    with atomic_write(target, "w") as stream:
        stream.writelines(lines)
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    return News(target, len(articles), len(chosen), len(articles) - len(different), rule, digest)


def _of_gensim() -> Path:
    """The corpus in the installed package, found without running its code."""
    spec = importlib.util.find_spec("gensim")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder, *_PLACE)
        if file.is_file():
            return file
    held = "is installed without its test data" if spec else "is not installed"
    raise InputError(
        arg("news", "gensim") + f": the package {held}",
        expected=f"gensim with {'/'.join(_PLACE)}",
        fix="pip install gensim, or " + arg("news", "FILE") + " with a copy of lee_background.cor",
    )


def _articles(file: Path) -> dict[int, str]:
    """Articles by line, counted from 0; blank lines are none."""
    found = read_file(file, ".txt")
    assert found is not None
    numbers = (int(place.split()[1]) - 1 for place in found.places)
    return {number: row["text"] for number, row in zip(numbers, found.rows, strict=True)}
