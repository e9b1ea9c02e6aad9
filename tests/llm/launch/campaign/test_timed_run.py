"""A run within its time: paused before it is up, and gone on to the same numbers."""

import dataclasses
import signal
import time

import numpy as np
import pytest

from llm import run as train
from llm.launch.campaign.timed_run import Deadline, run_until
from llm.runs.finished import Run
from llm.runs.folder import RunFolder
from toymodel import LossMatrix


class Clock:
    """Time that passes only when someone looks, a second each time."""

    now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


@pytest.mark.parametrize("name", ["a-seed0", "c-seed0"])
def test_stopped_for_lack_of_time_and_gone_on_to_the_same_numbers(tmp_path, go, name, monkeypatch):
    whole = tmp_path / "whole"
    go(whole, only=[name])
    expected = LossMatrix.load(whole / name)
    config = RunFolder(whole / name).read_config().to_json()
    monkeypatch.chdir(whole)
    path, clock = tmp_path / "run", Clock()
    states_seen = []
    for _ in range(12):
        (found,) = run_until([(config, str(path))], clock.now + 6.5, 0, clock)
        states_seen.append(found.state)
        if found.state == "finished":
            break
        assert not (path / "losses.npz").exists()
        assert (path / "checkpoint").is_dir()
        assert found.episode_seconds == 1.0
    assert states_seen[-1] == "finished"
    assert set(states_seen[:-1]) == {"paused"}
    assert len(states_seen) >= 2
    np.testing.assert_array_equal(LossMatrix.load(path).values, expected.values)
    if name == "c-seed0":
        ref, comp = Run.load(whole / name), Run.load(path)
        np.testing.assert_array_equal(comp.probe("pairwise")["after"], ref.probe("pairwise")["after"])


def deadline(end, gaps, **settings):
    """Feed a deadline episodes of so many seconds; how many it let pass before it spoke."""
    times = iter(np.cumsum([0.0, *gaps]).tolist())
    told = Deadline(end, clock=lambda: next(times), **settings)
    received = []
    previous = signal.signal(signal.SIGTERM, lambda *_: received.append(told.gaps and len(told.gaps)))
    try:
        view = type("View", (), {"order": np.zeros((1, len(gaps)))})
        told.start(view)
        for episode in range(1, 1 + len(gaps)):
            told.after_episode(view, episode)
    finally:
        signal.signal(signal.SIGTERM, previous)
    return received


def test_a_deadline_leaves_time_for_an_episode_and_a_checkpoint():
    assert deadline(100.0, [1.0] * 20) == []
    assert deadline(10.0, [1.0] * 20) == [9]  # told once, with one episode and one checkpoint to spare
    assert deadline(30.0, [1.0, 8.0, *[1.0] * 30]) == [8]  # the second held a checkpoint of 7 s
    assert deadline(10.0, [1.0] * 20, saving=8.5) == [1]  # not yet seen, assumed
    assert deadline(20.0, [1.0] * 8, closing=10) == []
    assert deadline(17.0, [1.0] * 8, closing=10) == [8]  # what comes after the last episode counts too


def test_no_time_left_when_the_weights_are_ready(tmp_path, go, monkeypatch):
    go(only=["a"])
    config = RunFolder(go.out / "a-seed0").read_config().to_json()
    monkeypatch.chdir(go.out)
    (found,) = run_until([(config, str(tmp_path / "late"))], time.monotonic() - 1, 0)
    assert found.state == "paused"
    assert found.episode_seconds is None
    assert not (tmp_path / "late" / "log.jsonl").exists()


def test_side_by_side_all_are_paused_before_time_is_up(tmp_path, go, monkeypatch):
    whole = tmp_path / "whole"
    go(whole, only=["a"])
    first = RunFolder(whole / "a-seed0").read_config()
    configs = [dataclasses.replace(first, seed=seed) for seed in range(3)]
    monkeypatch.chdir(whole)
    runs = [(config.to_json(), str(tmp_path / config.id)) for config in configs]
    clock, seen = Clock(), []
    for _ in range(12):
        found = run_until(runs, clock.now + 20, 0, clock)
        seen.append([one.state for one in found])
        if seen[-1] == ["finished"] * 3:
            break
        assert {one.state for one in found} <= {"paused", "finished"}
    assert len(seen) > 1
    assert seen[-1] == ["finished"] * 3
    for config in configs:
        ref = train(config, tmp_path / f"{config.id}-alone").losses.values
        np.testing.assert_array_equal(LossMatrix.load(tmp_path / config.id).values, ref)
