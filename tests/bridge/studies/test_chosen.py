"""The orders that the toy chose for a network: stored whole, and the very ones that it would choose."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bridge.studies.chosen import FOLDER, KINDS, Chosen, load_chosen, network, save_chosen
from bridge.studies.recorded import finished_runs
from toymodel import InputError, choose_order


@pytest.fixture
def chosen():
    x = np.random.default_rng(1).normal(size=(25, 60))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosines = np.round(x @ x.T, 6)
    orders = {kind: np.random.default_rng(n).permutation(25).tolist() for n, kind in enumerate(KINDS)}
    return Chosen(1, cosines.tolist(), orders, {"best": 0.3, "worst": 0.4}, 0.35, 0.01)


def test_choices_are_read_as_they_were_written(chosen, tmp_path):
    assert load_chosen(tmp_path) == []
    save_chosen(tmp_path, [chosen])
    assert load_chosen(tmp_path) == [chosen]
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text().replace("0.35", "0.36"))
    with pytest.raises(InputError, match="cannot be read"):
        load_chosen(tmp_path)


def test_runs_differ_from_the_network_in_their_order_alone(chosen):
    config = chosen.config("worst")
    assert config.schedule == "given"
    assert dataclasses.replace(config, order=None, schedule="cyclic") == network(1)
    assert chosen.config("best").id != config.id


def test_values_are_the_toys(chosen):
    small = [list(range(25)), chosen.orders["best"]]
    found = chosen.values(small)
    assert found.shape == (2,)
    assert found[0] != found[1]
    best = choose_order(chosen.cosines, 0.15, 0.85, 125)
    assert best.value == pytest.approx(float(chosen.values([best.order])[0]), abs=1e-12)
    assert best.value < found.min()


def test_the_recorded_choices_are_the_toys_and_were_trained():
    place = Path(__file__).parents[3] / "figures" / "recorded" / "orders" / FOLDER
    choices = load_chosen(place)
    trained = {run.config.id: run for run in finished_runs(place)}
    assert [one.seed for one in choices] == [0, 1, 2]
    for one in choices:
        np.testing.assert_allclose(one.values([one.orders[kind] for kind in KINDS]),
                                   [one.expected[kind] for kind in KINDS], rtol=1e-9)  # fmt: skip
        random = one.values([np.random.default_rng(n).permutation(25).tolist() for n in range(50)])
        assert one.expected["best"] < random.min()
        assert one.expected["worst"] > random.max()
        for kind in KINDS:
            run = trained[one.config(kind).id]
            np.testing.assert_array_equal(run.losses.order, [one.orders[kind]] * 5)
