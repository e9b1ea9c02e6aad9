import pytest

from toymodel.base.words import columns, nearest, nearest_few


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
