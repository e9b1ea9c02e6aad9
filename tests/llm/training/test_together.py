"""Runs side by side in one process: each is, bit for bit, the run that it would be alone."""

import dataclasses
import json
import signal

import numpy as np
import pytest
import torch

from llm import Interrupted, Run, RunConfig, run
from llm.runs.folder import RunFolder
from llm.steps.graph import GraphStep
from llm.training.loop import Job, run_together
from llm.training.saving import AfterEpisodes
from llm.training.session import Session
from tests.llm.given import Listener
from tests.llm.recorders import Tape
from tests.llm.stopped import Child, logged
from toymodel import InputError, LossMatrix

TINY = RunConfig(
    model="embedded", width=16, depth=2, heads=2, feed_forward=32, context=12, num_documents=3, steps=2,
    epochs=3, lr=0.03, device="cpu",
)  # fmt: skip
KINDS = {
    "sgd": {},
    "in products": {"version": 2},
    "moments carried on": {"optimizer": "adam", "lr": 1e-3, "reset_optimizer": False},
    "masked and shifted": {"mask_probability": 0.4, "window_shift": 4, "schedule": "reshuffled"},
    "bfloat16": {"precision": "bf16"},
}


def seeds(number=3, **changes):
    return [dataclasses.replace(TINY, seed=seed, **changes) for seed in range(number)]


def jobs(configs, folder, **options):
    return [Job(config, folder / config.id, **options) for config in configs]


def same(found, configs, folder):
    """That runs side by side are those that are made one by one now."""
    for comp, config in zip(found, configs, strict=True):
        ref = run(config, folder / f"{config.id}-alone")
        np.testing.assert_array_equal(comp.losses.values, ref.losses.values)
        assert comp.manifest["config_id"] == config.id
    if len(found) > 1:
        assert np.ptp([one.losses.values for one in found], axis=0).max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_the_run_that_it_is_alone(tmp_path, kind):
    configs = seeds(**KINDS[kind])
    same(run_together(jobs(configs, tmp_path)), configs, tmp_path)


def test_each_has_its_own_random_state_arithmetic_and_length(tmp_path, other_checkpoints):
    model = str(other_checkpoints["gpt2"])
    configs = [
        RunConfig(model=model, dropout=True, context=12, num_documents=3, steps=2, epochs=3, device="cpu"),
        dataclasses.replace(TINY, precision="bf16", epochs=2),
        dataclasses.replace(TINY, num_documents=4),
    ]  # fmt: skip
    before = torch.get_rng_state(), torch.get_num_threads(), torch.get_float32_matmul_precision()
    found = run_together(jobs(configs, tmp_path))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before[1:]
    for comp, config in zip(found, configs, strict=True):
        ref = run(config, tmp_path / f"{config.id}-alone")
        np.testing.assert_array_equal(comp.losses.values, ref.losses.values)


def test_probes_see_their_own_run(tmp_path):
    probes = ("gradients", "pairwise", "residuals", "pca", "activations", "updates")
    configs = seeds(2, probes=probes)
    found = run_together(jobs(configs, tmp_path))
    same(found, configs, tmp_path)
    for comp, config in zip(found, configs, strict=True):
        ref = Run.load(tmp_path / f"{config.id}-alone")
        for name in probes:
            for key, value in ref.probe(name).items():
                np.testing.assert_array_equal(comp.probe(name)[key], value)


def test_recorded_steps_of_each(tmp_path, monkeypatch):
    made = []

    def make(config, adapter, optimizer, device):
        made.append(GraphStep(adapter, optimizer, Tape()))
        return made[-1]

    configs = seeds(3, version=2)
    with monkeypatch.context() as patch:
        patch.setattr("llm.steps.graph.make_step", make)
        found = run_together(jobs(configs, tmp_path))
    assert [step.recorder.recorded for step in made] == [2, 2, 2]
    same(found, configs, tmp_path)


class Fails(Listener):
    """A tracker whose disk is full after some episode."""

    def __init__(self, episode):
        self.episode, self.closed = episode, False

    def after_episode(self, state, episode):
        if episode == self.episode:
            raise OSError(28, "No space left on device")

    def close(self):
        self.closed = True


def test_one_that_fails_does_not_stop_the_others(tmp_path):
    configs = [*seeds(3), dataclasses.replace(TINY, lr=1e30), dataclasses.replace(TINY, model="pythia-14x"),
               dataclasses.replace(TINY, seed=7)]  # fmt: skip
    full = Fails(4)
    todo = jobs(configs, tmp_path)
    todo[1] = dataclasses.replace(todo[1], trackers=[full])
    (tmp_path / configs[5].id).mkdir()
    (tmp_path / configs[5].id / "thesis.tex").touch()
    found = run_together(todo)
    assert isinstance(found[1], OSError)
    assert full.closed
    assert "no longer finite" in str(found[3])
    assert "pythia-14x" in str(found[4])
    assert "is no run folder" in str(found[5])
    same([found[0], found[2]], [configs[0], configs[2]], tmp_path)
    # What failed goes on alone, and the folders are free.
    again = run(configs[1], tmp_path / configs[1].id)
    np.testing.assert_array_equal(again.losses.values, run(configs[1], tmp_path / "ref").losses.values)


def test_what_is_finished_is_not_run_again_and_what_is_begun_goes_on(tmp_path):
    configs = seeds(3)
    first = run(configs[0], tmp_path / configs[0].id)
    stopped = run_together(jobs(configs[1:2], tmp_path, trackers=[Fails(5)], saving=AfterEpisodes(1)))
    assert isinstance(stopped[0], OSError)
    found = run_together(jobs(configs, tmp_path))
    assert found[0].manifest["finished"] == first.manifest["finished"]
    assert logged(tmp_path / configs[1].id) == 9
    same(found, configs, tmp_path)


def test_one_folder_is_held_by_one_run(tmp_path):
    twice = run_together([Job(TINY, tmp_path / "run"), Job(TINY, tmp_path / "run")])
    assert isinstance(twice[0], Run)
    assert isinstance(twice[1], InputError)
    assert "is working in" in str(twice[1])


def test_killed_twice_all_go_on(tmp_path):
    configs = seeds(3, optimizer="adam", lr=1e-3, reset_optimizer=False)
    out = tmp_path / "runs"
    for episodes in (7, 16):
        child = Child(configs, out, 0.03)
        child.wait_for(episodes)
        assert child.send(signal.SIGKILL) == -signal.SIGKILL
    assert not list(out.glob("*/losses.npz"))
    child = Child(configs, out)
    assert child.join() == 0, child.errors
    for config in configs:
        whole = Child(config, tmp_path / f"{config.id}-whole")
        assert whole.join() == 0, whole.errors
        ref = LossMatrix.load(tmp_path / f"{config.id}-whole").values
        np.testing.assert_array_equal(LossMatrix.load(out / config.id).values, ref)
        assert logged(out / config.id) == 9


def test_a_signal_saves_and_stops_all(tmp_path):
    configs = seeds(3, epochs=40)
    out = tmp_path / "runs"
    child = Child(configs, out, 0.03)
    child.wait_for(7)
    assert child.send(signal.SIGTERM) != 0
    assert "goes on from there" in child.errors
    done = [logged(out / config.id) for config in configs]
    assert max(done) - min(done) <= 1  # in turns
    for config, episodes in zip(configs, done, strict=True):
        assert RunFolder(out / config.id).load()[0].episode == episodes < 120


def test_a_run_out_of_time_ends_alone(tmp_path):
    class NoTime(Fails):
        def start(self, state):
            raise Interrupted("no time left")

    configs = seeds(2)
    todo = jobs(configs, tmp_path)
    todo[0] = dataclasses.replace(todo[0], trackers=[NoTime(0)])
    found = run_together(todo)
    assert isinstance(found[0], Interrupted)
    same(found[1:], configs[1:], tmp_path)


def test_a_signal_before_training_leaves_nothing_running(tmp_path, monkeypatch):
    configs = seeds(2)

    def stopped(self):
        raise Interrupted("stopped before training")

    begin, begun = Session.begin, []

    def second_is_stopped(self):
        begun.append(self)
        (begin if len(begun) == 1 else stopped)(self)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "begin", second_is_stopped)
        with pytest.raises(Interrupted):
            run_together(jobs(configs, tmp_path))
    assert not (tmp_path / configs[0].id / ".lock").exists()
    assert logged(tmp_path / configs[0].id) == 0
    same(run_together(jobs(configs, tmp_path)), configs, tmp_path)


def test_the_manifest_says_how_many(tmp_path):
    configs = seeds(2)
    run_together(jobs(configs, tmp_path))
    found = json.loads((tmp_path / configs[0].id / "manifest.json").read_text())
    assert found["together"] == 2
    assert "together" not in run(TINY, tmp_path / "alone").manifest


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@needs_gpu
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu_each_is_the_run_that_it_is_alone(tmp_path, capsys, kind):
    configs = seeds(3, **KINDS[kind] | {"device": "cuda", "width": 128, "feed_forward": 512, "heads": 4})
    found = run_together(jobs(configs, tmp_path))
    assert capsys.readouterr().err == ""
    for comp, config in zip(found, configs, strict=True):
        assert comp.manifest["execution"] == "graph"
        ref, again = (run(config, tmp_path / f"{config.id}-{k}").losses.values for k in range(2))
        assert np.abs(comp.losses.values - ref).max() <= np.abs(again - ref).max()


@needs_gpu
def test_on_a_gpu_one_that_fails_does_not_stop_the_others(tmp_path):
    configs = [dataclasses.replace(config, device="cuda") for config in seeds(2)]
    configs.insert(1, dataclasses.replace(configs[0], lr=1e30))
    found = run_together(jobs(configs, tmp_path))
    assert "no longer finite" in str(found[1])
    for comp, config in ((found[0], configs[0]), (found[2], configs[2])):
        ref = run(config, tmp_path / f"{config.id}-alone").losses.values
        np.testing.assert_allclose(comp.losses.values, ref, rtol=1e-5)
