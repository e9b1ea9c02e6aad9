"""Choosing an order: expected losses against the recursion, all orders against enumeration, the search."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reawaken
from toymodel import (
    InputError,
    LossMatrix,
    choose_order,
    coupling,
    difference_losses,
    online_loss,
    order_values,
)
from toymodel.theory import choosing


def cosines(seed, T, N):
    x = np.random.default_rng(seed).normal(size=(T, N))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T


problems = st.tuples(st.integers(0, 2**32 - 1), st.integers(2, 5))


@given(problems, st.floats(0.05, 0.9), st.floats(0.05, 0.9), st.floats(0, 2), st.integers(1, 3))
def test_values_are_those_of_the_recursion(problem, slow, fast, variance_w, epochs):
    seed, T = problem
    G, rng = cosines(seed, T, T + 1), np.random.default_rng(seed)
    orders = np.array([rng.permutation(T) for _ in range(4)])
    for objective in ("final", "online"):
        comp = order_values(orders, G, slow, fast, epochs * T, objective=objective, variance_w=variance_w)
        for found, order in zip(comp, orders, strict=True):
            tiled = np.tile(order, (epochs, 1))
            rows = difference_losses(np.eye(T) + variance_w, coupling(G, slow, fast), tiled)
            losses = LossMatrix(np.maximum(rows, 0), tiled)
            ref = rows[-1].mean() if objective == "final" else online_loss(losses).mean()
            assert found == pytest.approx(ref, rel=1e-9, abs=1e-13)


@given(problems, st.integers(1, 12), st.booleans())
def test_all_orders_are_tried(problem, budget, worst):
    seed, T = problem
    G = cosines(seed, T, T + 1)
    choice = choose_order(G, 0.3, 0.5, budget, worst=worst)
    every = order_values(list(itertools.permutations(range(T))), G, 0.3, 0.5, budget)
    assert choice.value == pytest.approx(every.max() if worst else every.min(), rel=1e-12)
    assert order_values(choice.order, G, 0.3, 0.5, budget)[0] == pytest.approx(choice.value, rel=1e-12)
    assert choice.exact
    assert (-1 if worst else 1) * choice.gain >= -1e-9


def test_the_search_finds_what_enumeration_does(monkeypatch):
    found = []
    for seed in range(10):
        G = cosines(seed, 7, 9)
        exact = choose_order(G, 0.3, 0.5, 35)
        monkeypatch.setattr(choosing, "EXACT", 0)
        searched = choose_order(G, 0.3, 0.5, 35)
        monkeypatch.undo()
        assert not searched.exact
        assert searched.value < exact.value * 1.02
        found.append(searched.value < exact.value * (1 + 1e-9))
    assert np.mean(found) >= 0.8


def test_uniform_similarity_has_no_better_order():
    choice = choose_order(0.6 * np.eye(12) + 0.4, 0.3, 0.5, 36)
    assert abs(choice.gain) < 1e-9
    assert choice.random_deviation < 1e-12


def test_a_search_beyond_enumeration_beats_hundreds_of_random_orders():
    choice = choose_order(cosines(3, 14, 18), 0.3, 0.5, 42)
    assert choice.value < choice.random[0]
    assert choose_order(cosines(3, 14, 18), 0.3, 0.5, 42, worst=True).value > choice.random[-1]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: choose_order([[1.0, 2.0], [2.0, 1.0]], 0.3, 0.5, 4), "eigenvalue -1"),
        (lambda: choose_order([[1.0, 0.5], [0.2, 1.0]], 0.3, 0.5, 4), "symmetric"),
        (lambda: choose_order(np.ones((2, 3)), 0.3, 0.5, 4), "gram = x @ x.T"),
        (lambda: choose_order([[1.0, np.nan], [0.2, 1.0]], 0.3, 0.5, 4), r"nan at \[0, 1\].*tasks 0 and 1"),
        (lambda: choose_order(np.diag([1.0, 0.0]), 0.3, 0.5, 4), r"0 at \[1, 1\].*remove task 1"),
        (lambda: choose_order(np.diag([1.0, -2.0]), 0.3, 0.5, 4), r"-2 at \[1, 1\].*gram = x @ x.T"),
        (lambda: choose_order(np.eye(3), 0.3, 0.5, 0), "at least 1"),
        (lambda: choose_order(np.eye(3), 0.3, 0.5, 3, objective="last"), "final"),  # type: ignore[arg-type]
        (lambda: choose_order(cosines(0, 4, 5), 3.0, 2.0, 200), "stability"),
        (lambda: order_values([[0, 0, 1]], np.eye(3), 0.3, 0.5, 3), "permutations"),
        (lambda: order_values([[0, 1, 2]], np.eye(3), 0.3, 0.5, 3, moments=np.eye(3)), "moments of 2"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(InputError, match=says) as error:
        call()
    assert "\n" not in str(error.value)


def call(*argv):
    return reawaken.main(["toy", "order", *map(str, argv)])


def test_the_command(tmp_path, capsys):
    assert call("--tasks", 5, "--dim", 6, "--epochs", 3, "--out", tmp_path / "o.json") == 0
    shown = capsys.readouterr().out
    order = json.loads((tmp_path / "o.json").read_text())
    assert sorted(order) == list(range(5))
    assert " ".join(map(str, order)) in shown
    assert "all 120 tried" in shown
    G = cosines(1, 5, 6)
    np.save(tmp_path / "g.npy", G)
    (tmp_path / "run" / "probes").mkdir(parents=True)
    np.savez(tmp_path / "run" / "probes" / "gradients.npz", gram=4 * G, cosines=G)
    outputs = []
    for given_gram in (tmp_path / "g.npy", tmp_path / "run"):
        assert call("--gram", given_gram, "--slow", 0.3, "--fast", 0.5, "--objective", "online") == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    choice = choose_order(G, 0.3, 0.5, 25, objective="online")
    assert f"{choice.value:.4g}: {choice.gain:.1%} less" in outputs[0]
    assert call("--tasks", 4, "--similarity-scale", 0) == 0
    assert "equally similar" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [("--slow", 0.3), ("--share", 0.3, "--slow", 0.3, "--fast", 0.2), ("--share", -1), ("--budget", 0),
     ("--epochs", 0), ("--gram", "none.npy"), ("--slow", 3, "--fast", 2), ("--tasks", 1), ("--out", "o.csv"),
     ("--similarity-scale", -1), ("--seed", -1)],
)  # fmt: skip
def test_bad_flags_are_one_line(argv, capsys):
    assert call(*argv) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
