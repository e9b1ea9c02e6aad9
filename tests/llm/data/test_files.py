"""Documents in every plain format: order, names, what is said, and what is refused."""

import csv
import dataclasses
import gzip
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm import RunConfig
from llm.data.documents import load_documents
from llm.data.files import natural_order
from llm.data.sources import open_source, readable
from tests.llm.given import refusal, texts
from toymodel import InputError

SMALL = RunConfig(num_documents=4, context=20)
STORIES = texts(6, words=12)


def given_as(path, **changes):
    return dataclasses.replace(SMALL, documents=str(path), **changes)


def write(path, rows):
    """Stories as a file of the format that its suffix says."""
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind in ("csv", "tsv"):
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0], delimiter="," if kind == "csv" else "\t")
            table.writeheader()
            table.writerows(rows)
        return path
    text = {
        "jsonl": lambda: "".join(json.dumps(row) + "\n" for row in rows),
        "json": lambda: json.dumps(rows),
        "txt": lambda: "\n\n".join(row["text"] for row in rows),
    }[kind]()
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.JSON", "a.csv", "a.tsv", "a.txt", "a.jsonl.gz", "a.json.gz"])
def test_every_plain_format_gives_the_same_documents_without_the_datasets_package(
    tmp_path, monkeypatch, name
):
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    rows = [{"label": f"topic {i}", "text": text} for i, text in enumerate(STORIES)]
    ref = load_documents(given_as(write(tmp_path / "ref.jsonl", rows)))
    found = load_documents(given_as(write(tmp_path / name, rows)))
    assert found.sha256 == ref.sha256
    assert found.origin["selection"] == "order"


def test_texts_that_hold_commas_quotes_and_lines_survive_a_table(tmp_path):
    hard = ['said "no", twice\nand again', "a;b\tc", " x, y ", "é ü — 語"]
    source = open_source(given_as(write(tmp_path / "a.csv", [{"text": text} for text in hard])))
    assert [source.text(row) for row in range(4)] == hard
    assert source.places == ["line 2", "line 4", "line 5", "line 6"]


def test_a_table_of_semicolons_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "a.csv").write_text("﻿id;text\n" + "".join(f"{i};{t}\n" for i, t in enumerate(STORIES)))
    source = open_source(given_as(tmp_path / "a.csv"))
    assert [source.text(row) for row in range(6)] == STORIES


def test_texts_by_name_and_bare_texts_are_documents(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({f"story {i}": text for i, text in enumerate(STORIES)}))
    assert load_documents(given_as(tmp_path / "a.json")).names == tuple(f"story {i}" for i in range(4))
    (tmp_path / "b.json").write_text(json.dumps(STORIES))
    assert load_documents(given_as(tmp_path / "b.json")).names == tuple(f"item {i}" for i in range(1, 5))


def test_a_text_file_holds_a_document_a_line_and_says_so(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(STORIES[:2]) + "\n   \n" + "\u2028".join(STORIES[2:4]) + "\n")
    documents = load_documents(given_as(tmp_path / "a.txt", num_documents=3))
    assert documents.names == ("line 1", "line 2", "line 4"), "U+2028 ends no line"
    assert "each line of a.txt is a document" in documents.notes


def test_one_file_is_one_document_through_all_folders_in_natural_order(tmp_path):
    for name in ("doc10.txt", "doc2.txt", "doc.txt", "b/10.txt", "b/9.txt", "b/a/1.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"the story of\n{name} in\nthree lines")
    (tmp_path / ".hidden.txt").write_text("not this")
    (tmp_path / "notes.md").write_text("nor this")
    documents = load_documents(given_as(tmp_path, num_documents=6))
    assert documents.names == ("b/9.txt", "b/10.txt", "b/a/1.txt", "doc.txt", "doc2.txt", "doc10.txt")
    assert documents.notes == ("1 other file of the folder not read: notes.md",)


def test_files_in_subfolders_alone_are_documents_too(tmp_path):
    for i in range(6):
        (tmp_path / f"day{i}").mkdir()
        (tmp_path / f"day{i}" / "story.txt").write_text("one\n" + STORIES[i])
    assert open_source(given_as(tmp_path)).size == 6


@given(st.lists(st.integers(0, 10**12), min_size=2, unique=True))
def test_numbered_names_sort_by_their_numbers(numbers):
    names = [f"text-{number}.txt" for number in numbers]
    assert sorted(names, key=natural_order) == [f"text-{number}.txt" for number in sorted(numbers)]


@given(st.lists(st.text(max_size=12)))
def test_any_names_can_be_sorted(names):
    sorted(names, key=natural_order)


def test_documents_that_repeat_are_counted_and_said(tmp_path):
    lines = [STORIES[0], STORIES[1], STORIES[0], STORIES[0] + " but only after the tokens that count " * 3]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    documents = load_documents(given_as(tmp_path / "a.txt", context=8))
    said = "2 of 4 documents repeat another in the tokens that count (line 3 = line 1, line 4 = line 1)"
    assert said in documents.notes
    assert said in documents.manifest()["notes"]
    assert not [note for note in load_documents(SMALL).notes if "repeat" in note]


def test_half_characters_are_replaced_and_counted(tmp_path):
    rows = [{"text": text} for text in STORIES]
    rows[1]["text"] += " \ud83d and \udc00"
    rows[2] |= {"name": "bad \ud83d name"}
    rows[3]["text"] += " \U0001f600"
    documents = load_documents(given_as(write(tmp_path / "a.jsonl", rows)))
    assert documents.names[2] == "bad \ufffd name"
    assert documents.notes == ("2 half character(s) (lone surrogates) replaced by U+FFFD",)


@given(st.text(st.characters(codec=None)))
def test_what_is_made_readable_can_be_encoded_and_the_rest_is_kept(text):
    found, lone = readable(text)
    found.encode()
    assert len(found) == len(text)
    assert sum(a != b for a, b in zip(found, text, strict=True)) == lone


@pytest.mark.parametrize(
    ("rows", "fix"),
    [
        ([{"id": "x1", "title": "On rain", "body": text} for text in STORIES], "text_field='body'"),
        ([{"label": "line 1", "body": text} for text in STORIES], "text_field='body'"),
        ([{"category": "one two three four", "content": text} for text in STORIES], "text_field='content'"),
        ([{"body": "a b c d"}] * 4, "text_field='body'"),
        ([{"text": "a b c d"}, {"body": "a b c d"}] * 2, "rename 'body' there, so that every row has 'text'"),
        ([{"text": 5}] * 4, 'give every row its text in quotes: {"text": "..."}'),
        ([{"text": None, "body": text} for text in STORIES], "text_field='body'"),
        ([{"article": ["a", "b"]}] * 4, 'give every row its text in quotes: {"text": "..."}'),
        (
            [{"id": f"x{i}", "topic": "rain"} for i in range(4)],
            "text_field with the field that holds the text, or add one that is called 'text'",
        ),
        ([{}] * 4, 'give every row its text in quotes: {"text": "..."}'),
    ],
)
def test_the_fix_for_a_missing_text_is_the_users_own_and_works(tmp_path, rows, fix):
    config = given_as(write(tmp_path / "a.jsonl", rows))
    said = refusal(lambda: load_documents(config))
    assert said.endswith(f"Fix: {fix}")
    assert "'name'" not in said
    if fix.startswith("text_field="):
        load_documents(dataclasses.replace(config, text_field=fix.partition("=")[2].strip("'")))


def test_the_text_field_is_the_same_for_every_row(tmp_path):
    rows = [{"text": text} for text in STORIES]
    rows[2] = {"article": f"summary of it: {STORIES[2][:20]}"}
    said = refusal(lambda: load_documents(given_as(write(tmp_path / "a.jsonl", rows))))
    assert said.startswith("line 3 of")
    assert "Fix: rename 'article' there" in said
    rows = [{"text": text, "article": f"summary of it: {text[:20]}"} for text in STORIES]
    del rows[2]["text"]
    config = given_as(write(tmp_path / "b.jsonl", rows), text_field="text")
    said = refusal(lambda: load_documents(config))
    assert said.startswith("line 3 of")
    assert "Fix: text_field='article'" in said


def test_a_missing_summary_is_called_one(tmp_path):
    rows = [{"text": text, "highlights": text[:30]} for text in STORIES]
    config = given_as(write(tmp_path / "a.jsonl", rows), evaluate_summaries=True)
    assert load_documents(config).summaries.shape == (4, 20)
    del rows[1]["highlights"]
    write(tmp_path / "a.jsonl", rows)
    said = refusal(lambda: load_documents(config))
    assert said.startswith("line 2 of")
    assert said.endswith("Fix: evaluate_summaries=False")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'\n\n{"text": "one"\n', ["line 3 of"]),
        ("a.jsonl", b"[" * 100_000, ["line 1 of", "nested too deep"]),
        ("a.jsonl", b'{"text": "\xff"}\n', ["line 1 of", "utf-8"]),
        ("a.json", b'{"text": "a b"}\n{"text": "c d"}\n', ["Fix: rename it to a.jsonl"]),
        ("a.json", b'{"data": [{"text": "a b"}]}', ["an object of 'data'"]),
        ("a.json", b"[1, 2, 3]", ["item 1 of", "a int"]),
        ("a.json", b"3", ["holds 3"]),
        ("a.json", b"[" * 100_000, ["is no JSON"]),
        ("a.csv", b'text,id\n"one two,3\n', ["is no table"]),
        ("a.csv", b"text,id\none two,3\nthree, four,4\n", ["line 3 has 3 fields, the first line 2"]),
        ("a.csv", b"text,text\na,b\n", ["names a field twice"]),
        ("a.csv", b"The river said that it would rain on the city\nAnd so it did\n", ["put a line of names"]),
        ("a.csv", b"text\n\xe9t\xe9 en mer\n", ["is not UTF-8", "iconv"]),
        ("a.csv", "text\nétait".encode("utf-16"), ["is not UTF-8", "iconv -f UTF-16 -t"]),
        ("a.txt", "one two\nthree\n".encode("utf-16-le"), ["line 1 of", "zero bytes", "iconv -f UTF-16"]),
        ("a.txt.gz", gzip.compress(b"two\n\xff\n", mtime=0), ["line 2 of", "zcat", "| gzip"]),
        (
            "a.csv",
            b"text,article\n" + b"a title,a long text\n" * 4,
            ["both 'text' and 'article'", "text_field='article'"],
        ),
        ("a.txt", b"all in one line", ["holds 1 document", "Fix: put 4 texts into it: a line of a .txt"]),
        ("a.txt", b"one two\nthree \xff four\n", ["line 2 of", "is not UTF-8"]),
        ("a.jsonl.gz", b"no gzip", ["cannot be unpacked"]),
        ("a.jsonl.gz", gzip.compress(b'{"text": "a b"}\n' * 999, mtime=0)[:-12], ["cannot be unpacked"]),
        ("a.pdf", b"%PDF", ["is a file of another kind", ".csv", "into a .jsonl file"]),
        ("a.txt", b"", ["holds 0 document"]),
        ("a.csv", b"", ["holds 0 document"]),
        ("a.json", b"[]", ["holds 0 document"]),
    ],
)
def test_unusable_files_are_one_line_with_its_place(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    said = refusal(lambda: load_documents(given_as(tmp_path / name)))
    assert all(word in said for word in words), said
    assert "embedded" not in said


def test_a_folder_of_two_kinds_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text(STORIES[0])
    write(tmp_path / "b.jsonl", [{"text": text} for text in STORIES])
    said = refusal(lambda: load_documents(given_as(tmp_path)))
    assert f"Fix: documents='{tmp_path / 'b.jsonl'}'" in said


def test_a_path_that_is_not_there_gets_its_neighbour_or_where_it_was_looked_for(tmp_path):
    write(tmp_path / "stories.jsonl", [{"text": text} for text in STORIES])
    assert refusal(lambda: open_source(given_as(tmp_path / "storys.jsonl"))).endswith(
        f"Fix: documents='{tmp_path / 'stories.jsonl'}'"
    )
    said = refusal(lambda: open_source(given_as("papers/2024/x.csv")))
    assert "check the path (relative ones start from" in said


def test_a_drawn_source_says_that_it_draws(tmp_path, jsonl):
    import datasets

    datasets.Dataset.from_json(str(jsonl)).to_parquet(tmp_path / "a.parquet")
    assert load_documents(given_as(tmp_path / "a.parquet", seed=3)).origin["selection"] == "seed"
    assert load_documents(given_as(jsonl)).origin["selection"] == "order"


PIECES = [b'{"text": "a b"}', b"[", b"]", b'"', b",", b";", b"\t", b"\n", b"\r\n", b"text", b"\xff", b"\x00",
          b"\\ud83d", b"\xc3\xa9", b"\xef\xbb\xbf", b"1e999", b"NaN", b"{", b"}", b":", b"null"]  # fmt: skip


@given(
    suffix=st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet", ".jsonl.gz"]),
    content=st.lists(st.sampled_from(PIECES) | st.binary(max_size=9), max_size=30).map(b"".join),
)
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(tmp_path_factory, suffix, content):
    file = tmp_path_factory.mktemp("any") / f"a{suffix}"
    file.write_bytes(content)
    said = ""
    try:
        source = open_source(given_as(file))
        for row in range(source.size):
            readable(source.text(row))[0].encode()
            readable(source.name(row))[0].encode()
    except InputError as error:
        said = str(error)
    assert "\n" not in said


def test_what_is_no_file_is_called_what_it_is(tmp_path):
    os.mkfifo(tmp_path / "texts.jsonl")
    for place, words in ((tmp_path / "texts.jsonl", "is a pipe"), (Path("/dev/zero"), "is a device")):
        assert words in refusal(lambda place=place: open_source(RunConfig(documents=str(place))))
