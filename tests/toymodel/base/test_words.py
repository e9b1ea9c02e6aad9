"""Words: arguments in Python's way and the command line's, known names, columns."""

import pickle
import shlex
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toymodel import InputError
from toymodel.base.words import Phrase, arg, args, columns, either, in_flags, nearest, nearest_few

FLAGS = {"lr": "--lr", "scale_lr": "--scale-lr", "dimension": "--dim", "probes": "--probes"}


def test_one_phrase_in_two_languages():
    phrase = "a smaller " + arg("lr", 0.1) + " with " + arg("dimension") + ", or " + args(epochs=3, lr=2)
    assert phrase == "a smaller lr=0.1 with dimension, or epochs=3, lr=2"
    assert in_flags(phrase, FLAGS) == "a smaller --lr 0.1 with --dim, or epochs=3, lr=2"
    assert in_flags(phrase) == "a smaller --lr 0.1 with --dimension, or --epochs 3 --lr 2"
    assert in_flags("plain lr=0.1", FLAGS) == "plain lr=0.1"


def test_values_as_a_shell_takes_them():
    said = {
        "--scale-lr": arg("scale_lr", True), "--no-scale-lr": arg("scale_lr", False),
        "--probes pca updates": arg("probes", ("pca", "updates")), "--lr 0.5": arg("lr", np.float64(0.5)),
        "--dim 'a b'": arg("dimension", Path("a b")),
    }  # fmt: skip
    for line, phrase in said.items():
        assert in_flags(phrase, FLAGS) == line
    assert arg("lr", np.float64(0.5)) == "lr=0.5"
    assert arg("dimension", Path("a b")) == "dimension='a b'"


@given(st.text())
def test_a_shell_reads_back_what_was_said(value):
    assert shlex.split(in_flags(arg("lr", value), FLAGS)) == ["--lr", value]


def test_errors_travel_between_processes():
    error = InputError(arg("lr", 0), expected="more", fix="x: " + either("run()", "reawaken llm run"))
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "lr=0; expected more. Fix: x: run()"
    assert isinstance(again.problem, Phrase)
    assert str(again.in_flags(FLAGS)) == "--lr 0; expected more. Fix: x: reawaken llm run"


@pytest.mark.parametrize(
    ("name", "near"), [("recovry", "recovery"), ("PEAKS", "peaks"), ("", "recovery"), (7, "recovery")]
)
def test_some_known_name_is_always_offered(name, near):
    known = ("recovery", "peaks", "final")
    assert nearest(name, known) in known
    if isinstance(name, str) and name:
        assert nearest(name.lower(), known) == near


def test_the_most_alike_comes_first():
    assert nearest_few("pythia-160", ["pythia-70m", "pythia-160m", "embedded"])[0] == "pythia-160m"
    assert len(nearest_few("x", ["a", "b", "c", "d"])) == 3


def test_columns_are_as_wide_as_their_longest_cell():
    assert columns([("a", "long cell", "x"), ("longer", "b"), ("", "c", "y")]) == [
        "a       long cell  x",
        "longer  b",
        "        c          y",
    ]
    assert columns([]) == []
