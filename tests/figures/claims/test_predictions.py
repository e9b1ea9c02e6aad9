"""Predictions measured on made-up losses and on the recorded runs; the page and the list say the same."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from figures.claims.predictions import PREDICTIONS, Outcome, orders, outcomes, peak_place, spacing, table
from figures.evidence.collection import Runs, recorded
from toymodel import LossMatrix, schedule, share_losses

PAGE = Path(__file__).parents[3] / "docs" / "predictions.md"


def toy(kind, epochs=5, seed=0):
    order = schedule(kind, 25, epochs, seed)
    return LossMatrix(share_losses(0.2, 0.3, order, variance_w=3.0), order)


def test_ranges_are_those_of_the_page():
    lines = re.findall(r"^\| (\d+) \|.*\| (-?[\d.]+) to (-?[\d.]+) \|$", PAGE.read_text(), re.MULTILINE)
    page = [(int(number), float(low), float(high)) for number, low, high in lines]
    numbered = [one for one in PREDICTIONS if isinstance(one.number, int)]
    assert page == [(one.number, one.low, one.high) for one in numbered]


def test_peak_place_and_spacing():
    values = np.zeros((1 + 2 * 6, 6))
    values[:, 0] = [9, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1]
    losses = LossMatrix(values, schedule("cyclic", 6, 2))
    assert peak_place(losses) == pytest.approx(np.mean([3 / 5, 0, 0, 0, 0, 0]))
    second, third, score = spacing(toy("spaced"))
    assert 0.5 < second < 1.2
    assert third > 1  # two rounds away cost more than one
    assert -0.5 < score < 0.8


def test_verdicts():
    inside = Outcome(PREDICTIONS[5], {0: 0.95, 1: 0.951, 2: 0.949})
    assert inside.verdict == "clear hit"
    assert Outcome(PREDICTIONS[5], {0: 0.95, 1: 0.80, 2: 0.99}).verdict == "hit"
    assert Outcome(PREDICTIONS[5], {0: 0.80, 1: 0.801, 2: 0.799}).verdict == "clear miss"
    assert Outcome(PREDICTIONS[5], {0: 0.8}).verdict == "miss"
    assert Outcome(PREDICTIONS[5], {}).verdict == "not run"
    never = Outcome(PREDICTIONS[5], {0: 0.95, 1: math.inf})
    assert (never.verdict, never.interval) == ("miss", None)
    low, high = Outcome(PREDICTIONS[5], {0: 1.0, 1: 2.0, 2: 3.0}).interval
    assert (low, high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)  # t(.975, 2) / sqrt 3


def test_recorded_runs_are_measured_by_seed():
    runs = recorded()
    found = orders(runs)
    assert set(found["cyclic"]) == set(found["reshuffled"]) == set(found["palindrome"]) == {0, 1, 2}
    measured = {one.prediction.number: one for one in outcomes(runs)}
    assert len(measured[6].values) == 3
    assert measured[6].mean < 1  # the fixed order wins on the way
    assert measured[9].mean > 1  # and loses in the end
    assert len(measured[7].values) == len(measured["crossing"].values) == 3
    assert measured["crossing"].verdict == "clear hit"
    assert len(measured["named"].values) == len(measured["shares kept"].values) == 3
    assert table(runs).count("\n| ") == len(PREDICTIONS)
    assert all(one.verdict == "not run" for one in outcomes(Runs([])))
