"""A call of the campaign: in order, within its time, stopped and gone on; what a machine cannot hold."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import torch

from llm import run as train
from llm.config import RunConfig
from llm.cost.shape import memory_needed
from llm.launch.campaign import ENTRIES, CampaignFolder, Entry, plan
from llm.launch.campaign import runner as runner_module
from llm.launch.campaign.command import main
from llm.names import SHAPES
from llm.runs.folder import RunFolder
from llm.training.interrupt import Interrupted
from llm.training.loop import run_together as train_together
from tests.llm.launch.campaign.entries import TINY, TWO
from toymodel import InputError, LossMatrix


def test_runs_of_a_trained_network_wait_for_one(go, tmp_path, capsys):
    trained = (Entry("t", "?", {"t": ("fig1", {"context": 8, "steps": 1})}, (0,), pretrained=True), *TWO)
    assert "t-seed0" not in go(entries=trained, only=["t", "a"]).outcomes
    assert "1 runs of a trained network wait for one" in capsys.readouterr().err
    (tmp_path / "weights.bin").touch()
    with pytest.raises(InputError, match=r"model='.*weights.bin'; expected a .gguf file"):
        go(model=tmp_path / "weights.bin")
    with pytest.raises(InputError, match=r"model='.*gone.gguf'; expected an existing file"):
        go(model=tmp_path / "gone.gguf")
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(InputError, match=r"pretrained.gguf"):
        go(entries=trained, only=["t"], model=tmp_path / "empty.gguf")
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"its pretrained.gguf is not"):
        go(model=tmp_path / "other.gguf")


def test_what_is_nearest_its_end_goes_first(go, tmp_path, monkeypatch):
    """A run that was cut short goes on before any new one begins."""

    def cut(jobs):
        def stop(view, episode):
            if episode == 3:
                signal.raise_signal(signal.SIGTERM)

        for job in jobs:
            if job.config.optimizer == "adam":
                job.trackers[0].after_episode = stop
        return train_together(jobs)

    monkeypatch.setattr("llm.training.loop.run_together", cut)
    with pytest.raises(Interrupted):
        go(only=["b"])
    monkeypatch.undo()
    assert list(go().outcomes) == ["b-seed0", "a-seed0", "c-seed0"]


def test_a_failed_run_does_not_end_the_campaign(go, monkeypatch, capsys):
    def fails(jobs):
        if jobs[0].config.optimizer == "adam":
            return [torch.OutOfMemoryError("CUDA out of memory.\nTried to")]
        return train_together(jobs)

    monkeypatch.setattr("llm.training.loop.run_together", fails)
    found = go()
    assert [a.state for a in found.outcomes.values()] == ["finished", "failed", "finished"]
    assert found.left == ["b-seed0"]
    assert "b-seed0 failed: OutOfMemoryError: CUDA out of memory.\n" in capsys.readouterr().err


def test_a_signal_saves_and_stops_everything(go):
    def strike():
        while not list(go.out.glob("*/log.jsonl")):
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=strike)
    thread.start()
    with pytest.raises(Interrupted, match="runs are left; the same command goes on"):
        go()
    thread.join()
    assert not (go.out / "b-seed0").exists()
    assert go().left == []


def test_several_at_a_time(go):
    found = go(workers=2, only=["a", "c"])
    assert {name: a.state for name, a in found.outcomes.items()} == {
        "a-seed0": "finished", "c-seed0": "finished",
    }  # fmt: skip
    assert go().outcomes.keys() == {"b-seed0"}


SEEDS = (Entry("seeds", "?", {"a": ("fig2b-160m", TINY), "b": ("fig6-adam", TINY)}, (0, 1, 2)),)


def test_seeds_side_by_side_are_those_one_by_one(go, tmp_path, capsys):
    found = go(entries=SEEDS, together=3)
    assert list(found.outcomes) == [f"{member}-seed{seed}" for member in "ab" for seed in range(3)]
    assert {one.state for one in found.outcomes.values()} == {"finished"}
    assert "a-seed1 starts, 0 episodes done, beside 2 more" in capsys.readouterr().err
    go(tmp_path / "alone", entries=SEEDS)
    for name in found.outcomes:
        comp, ref = (LossMatrix.load(folder / name).values for folder in (go.out, tmp_path / "alone"))
        np.testing.assert_array_equal(comp, ref)
    facts = CampaignFolder(go.out).read()["runs"]["a-seed1"]
    assert facts["together"] == 3
    assert go(entries=SEEDS, together=3).outcomes == {}


def test_as_many_side_by_side_as_memory_holds(go, monkeypatch, capsys):
    need = memory_needed(plan(SEEDS)[0].config, torch.device("cpu"))
    monkeypatch.setattr(runner_module, "free_memory", lambda device: 2 * need)
    found = go(entries=SEEDS, only=["a"], together=3)
    assert len(found.outcomes) == 3
    said = capsys.readouterr().err
    assert "a-seed1 starts, 0 episodes done, beside 1 more" in said
    assert "a-seed2 starts, 0 episodes done\n" in said
    with pytest.raises(InputError, match="together=0; .*Fix: together=1"):
        go(together=0)


def test_a_run_goes_on_in_the_version_it_was_begun_with(go, monkeypatch):
    assert {run.config.version for run in plan(TWO)} == {2}
    first = go(only=["a"], version=1)
    assert list(first.outcomes) == ["a-seed0"]
    config = RunFolder(go.out / "a-seed0").read_config()
    assert config.version == 1
    assert "a-seed0" not in go().outcomes  # it is done, whatever the version
    losses = go.out / "a-seed0" / "losses.npz"
    losses.unlink()
    assert go(only=["a"]).outcomes["a-seed0"].state == "finished"
    assert RunFolder(go.out / "a-seed0").read_config() == config


def test_a_budget_too_small_for_one_episode(go):
    with pytest.raises(InputError, match=r"budget leaves \d+ s, and a-seed0 .*Fix: budget=\d+\.\d$"):
        go(budget=0.01)
    assert not (go.out / "a-seed0").exists()
    with pytest.raises(InputError, match=r"budget=-1"):
        go(budget=-1)


def test_too_little_memory_names_the_next_smaller(go, monkeypatch, capsys):
    class Small:
        disk = 0

    def parameters(config, device):
        return SHAPES[config.model][0] ** 2 * SHAPES[config.model][1] + (config.optimizer == "adam")

    monkeypatch.setattr(runner_module, "memory_needed", parameters)
    monkeypatch.setattr(runner_module, "network", lambda config: Small)
    monkeypatch.setattr(runner_module, "free_memory", lambda device: SHAPES["pythia-1b"][0] ** 2 * 16)
    with pytest.raises(
        InputError, match=r"fig2b-1\.4b-seed0 needs about .*Fix: only='fig2b-1b-seed0', the next"
    ):
        go(entries=ENTRIES, only=["fig2b-1.4b", "fig2b-2.8b"])
    capsys.readouterr()
    monkeypatch.setattr(runner_module, "free_memory", lambda device: 0)
    with pytest.raises(InputError, match=r"a-seed0 needs about .*Fix: a larger machine"):
        go(go.out.with_name("second"))
    assert capsys.readouterr().err.count("left out") == 3


def test_what_does_not_fit_is_not_in_the_way_of_what_does(go, monkeypatch, capsys):
    needs = [memory_needed(run.config, torch.device("cpu")) for run in plan(TWO)]
    monkeypatch.setattr(runner_module, "free_memory", lambda device: min(needs))
    found = go()
    assert found.too_large == ["b-seed0", "c-seed0"]
    assert list(found.outcomes) == ["a-seed0"]
    assert capsys.readouterr().err.count("left out") == 2


def test_too_little_disk(go, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(InputError, match=r"a-seed0 keeps up to .* on the disk while it runs, and 1e-06 GB"):
        go()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_touched(go, tmp_path, capsys):
    with pytest.raises(InputError, match="campaign device='auto'"):
        go(device="auto")
    assert not go.out.exists()
    assert main(["run", "--out", str(go.out)]) == 2
    assert capsys.readouterr().err.startswith("reawaken: campaign --device auto: ")
    with pytest.raises(InputError, match="device='cuda'"):
        train(RunConfig(device="cuda"), tmp_path / "run")
