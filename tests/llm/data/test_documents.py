"""Sources, selection, tokens, random variations, and what is refused."""

import dataclasses
import json
import os
import subprocess
import sys

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm import RunConfig
from llm.data.augmentation import IGNORED, stored_length, vary, window
from llm.data.corpus import embedded_corpus, export_documents
from llm.data.documents import load_documents
from tests.llm.given import texts
from toymodel import InputError

SMALL = RunConfig(num_documents=4, context=20)


@pytest.fixture
def config(jsonl):
    return dataclasses.replace(SMALL, documents=str(jsonl))


def test_lines_of_a_file_are_taken_in_order_cut_and_padded(config, jsonl, checkpoint):
    from tokenizers import Tokenizer

    documents = load_documents(dataclasses.replace(config, tokenizer=str(checkpoint)))
    assert documents.names == ("line 1", "line 2", "line 3", "line 4")
    assert documents.origin["rows"] == [0, 1, 2, 3]
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    for row, line in enumerate(jsonl.read_text().splitlines()[:4]):
        ids = tokenizer.encode(json.loads(line)["article"]).ids[:20]
        assert documents.tokens[row, : len(ids)].tolist() == ids
        assert (documents.labels[row, len(ids) :] == IGNORED).all()
        assert documents.labels[row, : len(ids)].tolist() == ids
    assert documents.padded == 1
    assert documents.vocabulary == tokenizer.get_vocab_size()


def test_every_format_gives_the_same_documents(config, jsonl, tmp_path):
    rows = [json.loads(line) for line in jsonl.read_text().splitlines()]
    table = datasets.Dataset.from_list(rows)
    table.to_parquet(tmp_path / "news.parquet")
    table.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": table, "test": table.select(range(4))}).save_to_disk(tmp_path / "splits")
    (tmp_path / "hub").mkdir()
    table.to_parquet(tmp_path / "hub" / "train-00000-of-00001.parquet")
    (tmp_path / "text").mkdir()
    for i, row in enumerate(rows):
        (tmp_path / "text" / f"{i:02}.txt").write_text(row["article"])
    ref = load_documents(dataclasses.replace(config, num_documents=8))
    for name in ("news.parquet", "saved", "splits", "hub", "text"):
        one = dataclasses.replace(config, documents=str(tmp_path / name), num_documents=8, selection="order")
        assert load_documents(one).sha256 == ref.sha256, name
    drawn = load_documents(dataclasses.replace(config, documents=str(tmp_path / "saved"), seed=3))
    assert drawn.origin["rows"] == np.random.default_rng(3).permutation(8)[:4].tolist()
    assert drawn.names[0] == f"story {drawn.origin['rows'][0]}"


def test_the_seed_draws_and_the_order_does_not(config):
    def rows(**changes):
        return load_documents(dataclasses.replace(config, **changes)).origin["rows"]

    assert rows(selection="order", seed=5) == [0, 1, 2, 3]
    assert rows(selection="seed", seed=5) != rows(selection="seed", seed=6)
    assert rows(selection="seed", seed=5) == np.random.default_rng(5).permutation(8)[:4].tolist()


def test_a_corpus_is_written_with_its_tokenizer_or_not_at_all(tmp_path):
    (tmp_path / "corpus.tokenizer.json").mkdir()
    with pytest.raises(InputError, match="corpus.tokenizer.json is a folder"):
        export_documents(tmp_path / "corpus.jsonl", 5)
    assert [file.name for file in tmp_path.iterdir()] == ["corpus.tokenizer.json"]


def test_the_embedded_corpus_serves_200_documents_and_travels_in_a_file(tmp_path):
    corpus = embedded_corpus(200)
    assert len(corpus) >= 200
    assert len(set(corpus.values())) == len(corpus)
    file, tokenizer = export_documents(tmp_path / "corpus.jsonl", 200)
    here = load_documents(RunConfig(num_documents=200, context=32, seed=2))
    there = load_documents(
        RunConfig(num_documents=200, context=32, seed=2, documents=str(file), selection="seed",
                  tokenizer=str(tokenizer))
    )  # fmt: skip
    assert there.sha256 == here.sha256
    assert there.names == here.names


def test_every_process_has_the_same_corpus():
    code = (
        "from llm.data.corpus import embedded_corpus; import sys; "
        "sys.stdout.write(repr(embedded_corpus(200)))"
    )
    for seed in ("1", "2"):
        done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed},
                              capture_output=True, text=True, check=True)  # fmt: skip
        assert done.stdout == repr(embedded_corpus(200))


def test_the_datasets_package_is_not_needed_without_a_dataset(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert load_documents(config).tokens.shape == (4, 20)
    assert load_documents(SMALL).tokens.shape == (4, 20)


def test_hub_datasets_say_their_commit_and_are_asked_for_at_a_revision(monkeypatch):
    asked = {}

    def load_dataset(name, subset, *, split, revision):
        asked.update(name=name, subset=subset, split=split, revision=revision)
        table = datasets.Dataset.from_list(
            [{"article": text, "id": str(i)} for i, text in enumerate(texts(9))]
        )
        table.info.download_checksums = {f"hf://datasets/{name}@0123abcd/3.0.0/train.parquet": {}}
        return table

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda self, name, **options: None)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr("llm.data.hub.fetch_model", lambda *a, **k: pytest.fail("no model is needed"))
    documents = load_documents(
        dataclasses.replace(SMALL, documents="cnn_dailymail", documents_revision="main")
    )
    assert asked == {
        "name": "abisee/cnn_dailymail", "subset": "3.0.0", "split": "train", "revision": "main"
    }  # fmt: skip
    source = documents.manifest()["source"]
    assert source["revision"] == "0123abcd"
    assert len(documents.origin["rows"]) == 4


def shifted(**changes):
    return dataclasses.replace(SMALL, window_shift=5, **changes)


@given(length=st.integers(2, 40), episode=st.integers(0, 9), step=st.integers(0, 9), program=st.booleans())
def test_windows_shift_within_their_bounds_and_always_hold_something_to_predict(
    length, episode, step, program
):
    config = shifted(window="program" if program else "text")
    size = stored_length(config)
    length = min(length, size)
    tokens = np.where(np.arange(size) < length, np.arange(1, size + 1), 0)
    chosen, labels = vary(tokens, length, config, episode, step)
    assert chosen.shape == labels.shape == (20,)
    real = labels != IGNORED
    assert real.sum() >= 2
    assert (np.diff(chosen[real]) == 1).all(), "a window is one piece"
    centre = window(size, config).start
    least, most = (centre - 5, centre + 5) if program else (0, 5)
    assert min(least, length - 2) <= chosen[0] - 1 <= most
    again = vary(tokens, length, config, episode, step)
    np.testing.assert_array_equal(chosen, again[0])


def test_all_shifts_occur_equally_often():
    config = shifted(seed=1)
    tokens = np.arange(1, 26)
    starts = [vary(tokens, 25, config, episode, 0)[0][0] - 1 for episode in range(1200)]
    counts = np.bincount(starts, minlength=6)
    assert len(counts) == 6
    assert (abs(counts - 200) < 5 * np.sqrt(200)).all()


@pytest.mark.parametrize("up_to", [True, False])
def test_masks_hide_tokens_within_probability_and_keep_labels(up_to):
    config = dataclasses.replace(SMALL, context=500, mask_probability=0.3, mask_up_to=up_to, mask_token=7)
    tokens = np.full(500, 9)
    parts = []
    for episode in range(200):
        chosen, labels = vary(tokens, 450, config, episode, 3)
        assert set(np.unique(chosen[:450])) <= {7, 9}
        assert (chosen[450:] == 9).all()
        assert (labels[:450] == 9).all()
        assert (labels[450:] == IGNORED).all()
        parts.append((chosen[:450] == 7).mean())
    parts = np.array(parts)
    if up_to:
        assert parts.max() < 0.3 + 5 * np.sqrt(0.3 * 0.7 / 450)
        assert abs(parts.mean() - 0.15) < 5 * 0.3 / np.sqrt(12 * 200)
        assert parts.std() > 0.06
    else:
        assert abs(parts.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 450 / 200)


def test_steps_of_an_episode_differ_and_the_evaluated_window_is_fixed(config):
    config = dataclasses.replace(config, window_shift=6, mask_probability=0.5)
    documents = load_documents(config)
    plain = load_documents(dataclasses.replace(config, window_shift=0, mask_probability=0.0))
    np.testing.assert_array_equal(documents.tokens, plain.tokens)
    seen = {
        tuple(vary(documents.stored[0], documents.lengths[0], config, 0, step)[0].tolist())
        for step in range(9)
    }
    assert len(seen) > 5


def test_the_programs_window_is_evaluated_in_its_middle(config):
    config = dataclasses.replace(config, window_shift=4, window="program")
    documents = load_documents(config)
    assert documents.stored.shape == (4, 40)
    np.testing.assert_array_equal(documents.tokens[0], documents.stored[0, 10:30])


def bad(tmp_path, name, content):
    file = tmp_path / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.mkdir()
        for inner, data in content.items():
            (file / inner).write_bytes(data)
    return str(file)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"text": "one two"}\nnot json\n', "line 2 of"),
        ("a.jsonl", b'["text"]\n' * 4, "line 1 of.*a JSON list, not an object"),
        ("a.jsonl", b'{"body": "one two"}\n' * 4, "text_field"),
        ("a.jsonl", b'{"text": 3}\n' * 4, "line 1 of .*'text' with a number"),
        ("a.jsonl", b'{"text": "one two three"}\n' * 3, r"holds 3 document.*Fix: num_documents=3"),
        ("a.jsonl", b"", "holds 0 document"),
        ("a.jsonl", b'{"text": ""}\n{"text": "a b"}\n{"text": "c d"}\n{"text": "e f"}\n', "has 0 token"),
        ("a.parquet", b"PAR1 and nothing more", "cannot be read as parquet"),
        ("folder", {}, "is empty"),
        ("folder", {"a.txt": b"\xff\xfe broken"}, "not UTF-8"),
        ("folder", {"a.bin": b"123"}, "cannot be used"),
    ],
)
def test_unusable_sources_are_one_line(tmp_path, name, content, words):
    with pytest.raises(InputError, match=words) as caught:
        load_documents(dataclasses.replace(SMALL, documents=bad(tmp_path, name, content)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"documents": "embeded"}, "Fix: documents='embedded'"),
        ({"num_documents": 100000}, "the size of the embedded corpus"),
        ({"tokenizer": "nowhere"}, "tokenizer='nowhere'"),
        ({"window": "program", "window_shift": 11}, "at most C/2 tokens either way"),
    ],
)
def test_unusable_settings_are_one_line(changes, words):
    with pytest.raises(InputError, match=words) as caught:
        load_documents(dataclasses.replace(SMALL, **changes))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_without_tokenizer_gets_one_that_fits_its_embedding(config, tmp_path):
    (tmp_path / "config.json").write_text('{"vocab_size": 300}')
    assert load_documents(dataclasses.replace(config, model=str(tmp_path))).vocabulary <= 300
    (tmp_path / "config.json").write_text('{"vocab_size": 50304}')
    assert 300 < load_documents(dataclasses.replace(config, model=str(tmp_path))).vocabulary <= 1024


def test_a_damaged_tokenizer_is_one_line(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="is no tokenizer"):
        load_documents(dataclasses.replace(SMALL, tokenizer=str(tmp_path)))
