"""Studies of the family: what a row of their tables says of a run whose truth is known."""

import numpy as np
import pytest

from bridge.estimate.choice import FOUR
from bridge.estimate.fit import fit
from bridge.studies import forms, little
from tests.bridge.simulated import made_by
from toymodel import InputError, LossMatrix, cyclic_order, recovery_score


@pytest.fixture(scope="module")
def constant():
    return made_by(FOUR, (0.3, 0.4, 0.5, 0.2))


@pytest.fixture(scope="module")
def row(constant):
    return forms.judge_run(constant)


def test_a_run_of_four_numbers_is_judged_so(row):
    assert row["form"] == "constant shares, bounded link"
    assert row["numbers"] == 4
    assert row["stable"]
    assert row["held_out"] > 0.999
    assert row["dips_off"] < 1e-3


def test_dips_are_those_of_the_mean_curve():
    values = np.full((7, 3), 2.0)
    visit = [1.0, 3.0, 2.0]  # back by half of what was lost
    for document in range(3):
        values[1 + document : 4 + document, document] = visit
    assert forms.dips(LossMatrix(values, cyclic_order(3, 2))) == pytest.approx([0.5])


def test_where_nothing_is_forgotten_there_is_no_dip():
    values = np.full((7, 3), 2.0)
    values[3, 0] += 1e-4
    assert np.isnan(forms.dips(LossMatrix(values, cyclic_order(3, 2)))).all()


def test_the_summary_counts_what_it_says(row):
    other = {**row, "r2": 0.5, "stable": False, "score_from_two": [row["score"] + 0.2, 0.0, 0.1]}
    told = forms.summary([row, row, other])
    assert f"R^2 of all losses {row['r2']:.3f}" in told
    assert "stable 2 of 3" in told


def test_a_score_ahead_is_that_of_the_run_where_nothing_departs(constant):
    found = little.score_ahead(fit(constant.first_epochs(2), FOUR), constant.order, 4, draws=20)
    assert found.value == pytest.approx(recovery_score(constant, 4).value, abs=0.02)
    assert found.low <= found.value <= found.high


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(InputError, match="no runs"):
        little.find_runs(tmp_path)
