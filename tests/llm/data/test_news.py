"""Documents from a corpus with an article a line, and from the package that ships one."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

import reawaken
from llm import RunConfig
from llm.data.corpus import train_tokenizer
from llm.data.documents import load_documents
from llm.data.news import write_news
from tests.llm.given import refusal, texts

LONG, SHORT = texts(5, words=40), texts(4, words=5)
# Lines of the documents that seed 0 draws, in the manifests of the recorded runs.
DRAWN = [105, 259, 25, 44, 144, 64, 283, 99, 138, 84, 52, 284, 37, 36, 184, 34, 249, 35, 268, 61, 267, 217,
         183, 191, 109]  # fmt: skip


@pytest.fixture
def corpus(tmp_path):
    """Nine articles, long and short in turn, the second long one again, and a blank line."""
    lines = [line for pair in zip(LONG, SHORT, strict=False) for line in pair] + [LONG[4], "", LONG[1]]
    (tmp_path / "paper.cor").write_text("\n".join(lines) + "\n")
    train_tokenizer(LONG + SHORT).save(str(tmp_path / "own.json"))
    return tmp_path / "paper.cor"


def test_long_and_different_articles_are_kept_in_their_order(corpus, tmp_path):
    config = RunConfig(tokenizer=str(tmp_path / "own.json"), context=16)
    news = write_news(str(corpus), tmp_path / "news.jsonl", config)
    assert (news.articles, news.kept, news.repeated) == (10, 5, 1)
    rows = [json.loads(line) for line in (tmp_path / "news.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == [f"paper-{line}" for line in (0, 2, 4, 6, 8)]
    assert [row["text"] for row in rows] == LONG
    assert "5 of 10 articles kept" in str(news)
    assert "4 are shorter and 1 repeat another" in str(news)


def test_a_corpus_in_a_file_is_documents_as_it_is(corpus):
    documents = load_documents(RunConfig(documents=str(corpus.rename(corpus.with_suffix(".txt"))),
                                         num_documents=10, context=8))  # fmt: skip
    assert documents.names[-1] == "line 11"
    assert "1 of 10 documents repeat another in the tokens that count (line 11 = line 3)" in documents.notes


def test_what_cannot_be_chosen_is_one_line_and_writes_nothing(corpus, tmp_path, monkeypatch):
    out = tmp_path / "news.jsonl"
    own = RunConfig(tokenizer=str(tmp_path / "own.json"))
    assert "tokenizer='FILE'" in refusal(lambda: write_news(str(corpus), out, RunConfig()))
    assert "there is no such file" in refusal(lambda: write_news("absent.cor", out, own))
    assert "no article of more than 256 tokens" in refusal(lambda: write_news(str(corpus), out, own))
    assert "a .jsonl file" in refusal(lambda: write_news(str(corpus), tmp_path / "news.txt", own))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install gensim" in refusal(lambda: write_news("gensim", out, own))
    assert not out.exists()


def test_the_package_is_found_and_its_code_not_run(tmp_path):
    """A package of that name whose code would fail, with a corpus where gensim has it."""
    data = tmp_path / "gensim" / "test" / "test_data"
    data.mkdir(parents=True)
    (tmp_path / "gensim" / "__init__.py").write_text("raise SystemExit('gensim was imported')")
    (data / "lee_background.cor").write_text("\n".join(LONG))
    train_tokenizer(LONG).save(str(tmp_path / "own.json"))
    flags = ["--news", "gensim", "--out", "news.jsonl", "--tokenizer", "own.json", "--context", "16"]
    command = [sys.executable, "-m", "reawaken", "llm", "documents", *flags]
    path = os.pathsep.join((str(tmp_path), os.path.dirname(reawaken.__file__)))
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "5 of 5 articles kept" in done.stdout


@pytest.mark.skipif(importlib.util.find_spec("gensim") is None, reason="needs the package gensim")
def test_the_lee_corpus_gives_the_documents_of_the_recorded_runs(tmp_path):
    news = write_news("gensim", tmp_path / "news.jsonl", RunConfig())
    assert (news.articles, news.kept, news.repeated) == (300, 96, 7)
    drawn = load_documents(RunConfig(documents=str(tmp_path / "news.jsonl"), selection="seed", context=8))
    assert list(drawn.names) == [f"lee-{line}" for line in DRAWN]
