import dataclasses
import json

import numpy as np
import pytest

from bridge import Mechanism, fit
from bridge.studies import science
from bridge.studies.designs import DESIGNS, configuration
from bridge.studies.science import judge, predict, table
from tests.bridge.simulated import simulated, truth
from toymodel import InputError, LossMatrix, cyclic_order

SMALL = DESIGNS["small"]
INTERVENTIONS = SMALL.interventions
ONE = Mechanism(channels=1, nearness=False, pairs=False)


@pytest.fixture(scope="module")
def known():
    rng = np.random.default_rng(31)
    theta = truth(ONE, rng, 0.3)
    return simulated(ONE, theta, rng, tasks=16, epochs=5, deviation=0.05), theta


def changed(known, name):
    """What the intervention does to the simulated network; its own noise left out."""
    losses, theta = known
    scales = fit(losses, ONE, starts=2, intervals_by="none").scales()
    order, steps, kept = cyclic_order(16, 5), 1.0, np.arange(16)
    if "steps" in INTERVENTIONS[name]:
        steps = INTERVENTIONS[name]["steps"] / 10
    if name == "reshuffled":
        order = np.array([np.random.default_rng(e).permutation(16) for e in range(5)])
    if name == "documents-12":
        order, kept = cyclic_order(12, 5), np.arange(12)
    if name == "epochs-6":
        order = cyclic_order(16, 6)
    return LossMatrix(scales[kept] * ONE.losses(theta, order, steps=steps), order)


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_interventions_on_the_mechanism_itself_are_predicted(known, name):
    result = fit(known[0], ONE, starts=2, intervals_by="none")
    found = predict(result, name, changed(known, name))
    assert found["r2"] > 0.97
    assert found["r2"] > found["unchanged"]
    assert found["recovery_error"] < 0.05


def test_a_run_is_judged_and_tabled(known):
    losses, _ = known
    record, result = judge(losses)
    json.dumps(record)
    record["held_out_r2_joint"] = 0.9
    assert result.r2 == record["r2"] > 0.95
    assert record["recovery_error_with_noise"] < 0.1
    whole = {"design": "small", "runs": {f"adam-{seed}": record for seed in range(3)},
             "predictions": {"steps-5-0": {"r2": 0.9, "unchanged": 0.5, "recovery_error": 0.01}}}  # fmt: skip
    lines = table(whole).splitlines()
    assert sum(line.startswith("| adam |") for line in lines) == 1
    assert "| steps-5 | 0.90 | 0.50 | 0.01 |" in lines
    assert "Medians over 3 runs" in lines[-1]


def test_every_run_is_a_configuration_the_network_side_takes():
    for design, chosen in DESIGNS.items():
        for name in {**chosen.runs, **chosen.interventions}:
            config = configuration(name, 1, design)
            assert config.seed == 1
            assert config.device == "cpu"
    assert len(SMALL.runs) * 3 >= 12
    with pytest.raises(InputError, match="no design 'large'"):
        configuration("adam", 0, "large")
    with pytest.raises(InputError, match="no run 'adm'"):
        configuration("adm", 0)


def test_science_trains_fits_and_predicts(known, monkeypatch, tmp_path, capsys):
    class Made:
        def __init__(self, name):
            self.losses = known[0] if name == "adam" else changed(known, name)

    monkeypatch.setattr(science, "make", lambda name, seed, folder, design: Made(name))
    only = dataclasses.replace(SMALL, runs={"adam": {}})
    monkeypatch.setitem(science.DESIGNS, "small", only)
    science.main(tmp_path, tmp_path / "record.json", (0,))
    record = json.loads((tmp_path / "record.json").read_text())
    assert set(record["runs"]) == {"adam-0"}
    assert len(record["predictions"]) == len(INTERVENTIONS)
    assert "| reshuffled |" in capsys.readouterr().out
