from dataclasses import replace

import numpy as np
import pytest

from bridge.estimate.choice import FOUR
from bridge.studies.beyond import longer, main, orders
from bridge.studies.recorded import finished_runs
from llm import preset
from toymodel import InputError, LossMatrix, cyclic_order

CONFIG = replace(preset("embedded"), num_documents=8, epochs=4)
THETA = np.array([-1.0, -0.2, 1.0, -1.0])


def saved(path, config, order, seed):
    shapes = FOUR.losses(THETA, order)
    scales = np.random.default_rng(config.seed).uniform(6, 8, order.shape[1])
    values = scales * shapes + np.random.default_rng(seed).normal(0, 0.03, shapes.shape)
    LossMatrix(values, order, {"config": config.to_json()}).save(path)


@pytest.fixture
def runs(tmp_path):
    cyclic, rng = cyclic_order(8, 4), np.random.default_rng(5)
    saved(tmp_path / "a.npz", CONFIG, cyclic, 1)
    saved(tmp_path / "b.npz", replace(CONFIG, schedule="reshuffled"), rng.permuted(cyclic, axis=1), 2)
    saved(tmp_path / "c.npz", replace(CONFIG, seed=7), cyclic, 3)  # has no twin
    (tmp_path / "inside").mkdir()
    np.savez(tmp_path / "inside" / "other.npz", something=np.ones(3))
    return tmp_path


def test_finished_runs_are_those_with_a_configuration(runs):
    assert [run.path.name for run in finished_runs(runs)] == ["a.npz", "b.npz", "c.npz"]
    with pytest.raises(InputError, match="no finished run"):
        list(finished_runs(runs / "inside"))


def test_runs_that_differ_in_their_order_alone_are_predicted(runs):
    (found,) = orders(finished_runs(runs), {"four": FOUR})
    assert found.schedule == "reshuffled"
    assert found.r2["four"] > 0.97
    assert found.r2["four"] > found.null


def test_longer_training_is_predicted_and_judged(runs):
    judged = longer(finished_runs(runs), draws=20)
    assert [row.run for row in judged] == ["a", "c"]  # the reshuffled one does not repeat its order
    for row in judged:
        assert set(row.inside) == set(row.width) == set(row.error)
        assert all(len(column) == 2 for column in row.inside.values())
        assert np.mean(row.error["mean loss after the epoch"]) < 0.1


def test_the_tables_are_printed(runs, capsys):
    main(runs)
    printed = capsys.readouterr().out
    assert "| reshuffled | embedded, adam | 0 |" in printed
    assert "| 2 packed | recovery score | 4 |" in printed
