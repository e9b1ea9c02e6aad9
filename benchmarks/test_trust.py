"""What it costs to believe nothing: checksums as a part of a run and of a sweep, in processor time."""

import time

import pytest
import torch

import toymodel.base.checksum as checks
from llm import RunConfig, run
from llm.training.saving import AfterEpisodes
from toymodel import sweep


class Timed:
    """A hash that adds up the processor time that goes into it."""

    spent = 0.0

    def __init__(self, state):
        self.state = state

    def __getattr__(self, name):
        return getattr(self.state, name)

    def update(self, data):
        began = time.process_time()
        self.state.update(data)
        Timed.spent += time.process_time() - began


@pytest.fixture
def share(monkeypatch):
    """A function that says which part of an action's processor time goes into checksums."""
    make = checks.hasher

    def timed(*name):
        return Timed(make(*name))

    monkeypatch.setattr(checks, "hasher", timed)
    monkeypatch.setattr("llm.probes.trajectory.hasher", timed)

    def part(action):
        Timed.spent, began = 0.0, time.process_time()
        action()
        return Timed.spent / (time.process_time() - began)

    return part


def test_a_run_that_saves_after_every_episode(share, tmp_path):
    """The embedded network with its trajectory on disk: far more is stored than by the saving policy."""
    torch.set_num_threads(1)
    config = RunConfig(num_documents=5, epochs=2, probes=("residuals",))
    part = share(lambda: run(config, tmp_path / "run", saving=AfterEpisodes(1), keep_weights=True))
    print(f"checksums of a run that saves after every episode: {part:.2%} of its processor time")
    assert part < 0.02


def test_a_sweep(share, tmp_path):
    values = {"rate": [0.0001 * k for k in range(1, 201)], "rho": [0.01 * k for k in range(20)]}
    sweep(values, record=("recovery", "losses"), threads=1)  # compiled
    part = share(lambda: sweep(values, record=("recovery", "losses"), threads=1, path=tmp_path / "s.nc"))
    print(f"checksums of a sweep: {part:.2%} of its processor time")
    assert part < 0.02
