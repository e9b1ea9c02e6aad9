"""The orders that the toy chose for a network: stored whole, and the very ones that it would choose."""

import dataclasses

import numpy as np
import pytest

from bridge.studies.chosen import KINDS, Chosen, load_chosen, network, save_chosen
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
