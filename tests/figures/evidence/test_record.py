"""Recording: what is packed stays as it is, what is missing is made, and both are in one index."""

import json
from dataclasses import replace

import numpy as np
import pytest

from figures.evidence import record as module
from figures.evidence.counterparts import ToySetting, toy_losses
from figures.evidence.record import configurations_of_orders, record
from figures.evidence.stored import INDEX, read_packed
from llm.presets import preset
from tests.figures.runs import write_run


@pytest.fixture
def configs(monkeypatch):
    """Two runs are all there is to record."""
    both = [replace(preset("control-cyclic-small"), seed=seed) for seed in (0, 1)]
    monkeypatch.setattr(module, "configurations", lambda seeds: both)
    monkeypatch.setattr(module, "FITTED", ())
    return both


def finished(config, folder):
    return write_run(folder, config, losses=toy_losses(ToySetting(), config.seed), probes=False)


def test_what_is_packed_stays_and_what_is_missing_is_added(configs, tmp_path, capsys):
    runs, out = tmp_path / "runs", tmp_path / "out"
    finished(configs[0], runs)
    record(runs, out, train=False)
    assert "1 of 2 runs packed" in capsys.readouterr().out
    (file,) = out.glob("*.npz")
    before = file.read_bytes(), file.stat().st_mtime_ns
    # The folder it was packed from is gone; another run has come.
    other = tmp_path / "later"
    finished(configs[1], other)
    record(other, out, train=False, missing=True)
    assert "2 of 2 runs packed" in capsys.readouterr().out
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert [entry["id"] for entry in json.loads((out / INDEX).read_text())] == sorted(c.id for c in configs)
    for run in read_packed(out):
        np.testing.assert_array_equal(run.losses.values, toy_losses(ToySetting(), run.config.seed).values)
        assert run.manifest["git_commit"] == "abc123"
    # Without it, what no folder holds is dropped, as ever.
    record(other, out, train=False)
    assert [run.config.seed for run in read_packed(out)] == [1]


def test_only_what_is_missing_is_trained(configs, tmp_path, monkeypatch):
    finished(configs[0], tmp_path / "runs")
    record(tmp_path / "runs", tmp_path / "out", train=False)
    trained = []

    def sweep(configs, runs, **options):
        trained.extend(configs)
        for config in configs:
            finished(config, runs)

    monkeypatch.setattr("llm.launch.sweeps.sweep", sweep)
    record(tmp_path / "anew", tmp_path / "out", missing=True)
    assert trained == [configs[1]]
    record(tmp_path / "anew", tmp_path / "out", missing=True)
    assert trained == [configs[1]]


def test_orders_are_recorded_seed_by_seed():
    found = configurations_of_orders((0, 1))
    assert len({config.id for config in found}) == len(found) == 2 * 10
    assert {config.schedule for config in found} == {
        "cyclic", "shuffled-once", "reshuffled", "palindrome", "spaced",
    }  # fmt: skip
