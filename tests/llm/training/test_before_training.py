"""Similarity before training: the gradients of the network as it begins, and the command that writes them."""

import dataclasses

import numpy as np
import pytest
import torch

import reawaken
from llm import RunConfig
from llm.registry import make_adapter
from llm.training.before_training import initial_similarity
from toymodel import InputError, choose_order

CONFIG = RunConfig(
    model="embedded", width=16, depth=2, heads=2, feed_forward=16, num_documents=4, context=8, steps=1,
    epochs=2, lr=0.01, device="cpu", probes=("pairwise",),
)  # fmt: skip


def test_cosines_are_those_of_whole_gradients():
    adapter = make_adapter(CONFIG, torch.device("cpu"))
    rows = []
    for task in range(4):
        adapter.load(task)
        adapter.model.zero_grad()
        adapter.loss().backward()
        parameters = [p for p in adapter.model.parameters() if p.grad is not None]
        rows.append(torch.cat([p.grad.flatten() for p in parameters]).double().numpy())
    gram = np.array(rows) @ np.array(rows).T
    found = initial_similarity(CONFIG)
    np.testing.assert_allclose(found["gram"], gram, rtol=1e-4, atol=1e-6 * gram.max())
    length = np.sqrt(np.diag(gram))
    np.testing.assert_allclose(found["cosines"], gram / np.outer(length, length), atol=1e-5)
    other = initial_similarity(dataclasses.replace(CONFIG, probe_layer="output"))
    assert str(other["layer"]) != str(found["layer"]) == "all"
    assert np.abs(other["gram"] - found["gram"]).max() > 1e-3 * gram.max()


def test_the_command_feeds_the_choice_of_an_order(tmp_path, capsys):
    settings = ["--model", "embedded", "--width", "16", "--depth", "2", "--heads", "2", "--feed-forward",
                "16", "--num-documents", "4", "--context", "8", "--device", "cpu"]  # fmt: skip
    file = tmp_path / "similarity.npz"
    assert reawaken.main(["llm", "similarity", *settings, "--out", str(file)]) == 0
    told = capsys.readouterr()
    assert "cosines of 4 documents' gradients over all weights, before training: mean" in told.out
    assert not told.err
    shares = ["--slow", "0.15", "--fast", "0.85"]
    chosen = tmp_path / "best.npy"
    assert reawaken.main(["toy", "order", "--gram", str(file), *shares, "--out", str(chosen)]) == 0
    expected = choose_order(np.load(file)["cosines"], 0.15, 0.85, 20)
    np.testing.assert_array_equal(np.load(chosen), expected.order)
    assert "all 24 tried" in capsys.readouterr().out


def test_refusals_write_nothing(tmp_path, capsys):
    assert reawaken.main(["llm", "similarity", "--out", str(tmp_path / "s.txt")]) == 2
    assert ".npz" in capsys.readouterr().err
    with pytest.raises(InputError, match="probe_layer=.nonsense"):
        initial_similarity(dataclasses.replace(CONFIG, probe_layer="nonsense"))
    assert not list(tmp_path.iterdir())
