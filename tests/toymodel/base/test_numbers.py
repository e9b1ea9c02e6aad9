"""Numbers as they are given: taken as what they are, or refused by name in one line."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toymodel import InputError, cyclic_order, expected_losses, random_tasks, simulate
from toymodel.base.numbers import real, whole

NO_WHOLE = [None, "x", "3", 1.5, math.nan, math.inf, 2**63, -(2**63), 10**5000, [3], 1j, np.array([1, 2])]
NO_REAL = [None, "x", math.nan, -math.inf, 10**400, 10**5000, [3.0, 4.0], 1j]


@given(st.integers(1 - 2**63, 2**63 - 1))
def test_whole_numbers_are_what_they_are(number):
    assert whole("n", number) == number
    assert whole("n", np.int64(number)) == number


@pytest.mark.parametrize("value", NO_WHOLE, ids=lambda v: f"{type(v).__name__}")
def test_no_whole_number(value):
    with pytest.raises(InputError, match=r"^n\b.*; expected a whole number") as error:
        whole("n", value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("value", NO_REAL, ids=lambda v: f"{type(v).__name__}")
def test_no_number(value):
    with pytest.raises(InputError, match=r"^x\b.*; expected a finite number"):
        real("x", value)


def test_bounds():
    assert (whole("n", 3.0, least=3), real("x", 0, least=0), real("x", "0.5", above=0)) == (3, 0.0, 0.5)
    with pytest.raises(InputError, match="n=2; expected a whole number, at least 3. Fix: n=5"):
        whole("n", 2, least=3)
    with pytest.raises(InputError, match="x=0; expected a finite number above 0"):
        real("x", 0, above=0)


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": e} for e in (0, -1, 1.5, None, "x", 10**30)]
    + [{"dimension": 0}, {"dimension": 10**400}, {"rate": math.nan}, {"rate": "x"}, {"inner_steps": 0},
       {"variance_p": -1}, {"order": []}, {"order": [[0, 0, 9]]}, {"slopes": "x"}]
    + [{"gram": gram} for gram in ("x", np.eye(3) * 1j, [[1, 2], [3]], np.full((3, 3), np.nan), -np.eye(3),
                                   3.0, [])],
    ids=lambda given: f"{next(iter(given.items()))!r:.40}",
)  # fmt: skip
def test_expected_losses_of_what_is_none(wrong):
    settings = {"gram": np.eye(3), "dimension": 9, "rate": 0.01, "epochs": 2} | wrong
    with pytest.raises(InputError) as error:
        expected_losses(settings.pop("gram"), **settings)
    assert "\n" not in str(error.value)


def test_more_than_memory_is_refused_before_it_is_asked_for():
    with pytest.raises(InputError, match="an order of .* would take"):
        expected_losses(np.eye(3), dimension=9, rate=0.01, epochs=10**12)
    with pytest.raises(InputError, match="an order of .* would take"):
        cyclic_order(3, 10**12)


@pytest.mark.parametrize("wrong", [{"epochs": None}, {"epochs": math.inf}, {"rate": None}, {"fast_rate": "x"},
                                   {"inner_steps": "x"}])  # fmt: skip
def test_a_simulation_of_what_is_none(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        simulate(random_tasks(3, 4), "identity", **({"rate": 0.01, "epochs": 2} | wrong))
