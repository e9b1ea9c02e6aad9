"""Sweeps: what is run, where, and that stops, failures and clusters lose nothing."""

import dataclasses
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from llm import Interrupted, RunConfig, run
from llm.config import varied
from llm.cost.shape import memory_needed
from llm.launch.batch import Batch, side_by_side
from llm.launch.grid import expand, parse_grid
from llm.launch.sweeps import sweep
from toymodel import InputError, LossMatrix
from toymodel.base.lock import lock

CONFIG = RunConfig(
    width=16, depth=1, heads=2, feed_forward=16, num_documents=3, context=8, steps=1, epochs=2, lr=0.01
)
# Jobs of a cluster find the packages through the environment.
ROOT = str(Path(__file__).parents[3])


@pytest.fixture
def alone(monkeypatch):
    """Children use one thread, as this process does, so that their sums are the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", ROOT)
    yield
    torch.set_num_threads(before)


def states(outcomes):
    return [outcome.state for outcome in outcomes]


def test_every_combination_once():
    other = dataclasses.replace(CONFIG, optimizer="adam")
    configs = expand([CONFIG, other, CONFIG], [0, 1], {"lr": [0.1, 0.2], "steps": [1]})
    assert len(configs) == 2 * 2 * 2
    assert {(c.optimizer, c.seed, c.lr) for c in configs} == {
        (o, s, lr) for o in ("sgd", "adam") for s in (0, 1) for lr in (0.1, 0.2)
    }
    assert varied(configs) == ["optimizer", "lr", "seed"]
    assert expand([CONFIG]) == [CONFIG]
    assert varied([CONFIG]) == []


def test_a_grid_as_it_is_typed():
    found = parse_grid(
        ["lr=1e-3,1e-4", "--num-documents=4", "freeze-embeddings=true,false", "width=none,64",
         "probes=pca+updates", "probe_documents=0+2", "optimizer=adam", "model=pythia-14m"]
    )  # fmt: skip
    assert found == {
        "lr": [1e-3, 1e-4], "num_documents": [4], "freeze_embeddings": [True, False], "width": [None, 64],
        "probes": [("pca", "updates")], "probe_documents": [(0, 2)], "optimizer": ["adam"],
        "model": ["pythia-14m"],
    }  # fmt: skip
    assert len(expand([CONFIG], grid=found)) == 8


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("learning=1", "Fix: vary="),
        ("lr", "FIELD=VALUE"),
        ("stepz=1", "Fix: vary='steps="),
        ("lr=fast", "expected a number"),
        ("steps=1.5", "expected an integer"),
        ("dropout=maybe", "true or false"),
        ("probe_documents=0+a", "expected an integer"),
    ],
)
def test_grids_that_cannot_be(item, words):
    with pytest.raises(InputError, match=words):
        parse_grid([item])


def test_bad_values_are_the_configurations_own_error():
    with pytest.raises(InputError, match="optimizer='lion'"):
        expand([CONFIG], grid=parse_grid(["optimizer=lion"]))


def test_inline_runs_what_is_not_finished(tmp_path, capsys):
    configs = expand([CONFIG], [0, 1])
    run(configs[1], tmp_path / configs[1].id)
    before = (tmp_path / configs[1].id / "losses.npz").stat().st_mtime_ns
    found = sweep([*configs, configs[0]], tmp_path, per_job=2)
    assert states(found) == ["finished", "skipped", "finished"]
    assert [outcome.path.name for outcome in found] == [configs[0].id, configs[1].id, configs[0].id]
    assert (tmp_path / configs[1].id / "losses.npz").stat().st_mtime_ns == before
    assert "[2/2]" in capsys.readouterr().err
    assert states(sweep(configs, tmp_path)) == ["skipped", "skipped"]


def test_a_run_of_another_process_has_not_failed(tmp_path):
    configs = expand([CONFIG], [0, 1])
    with lock(tmp_path / configs[0].id):
        found = sweep(configs, tmp_path)
    assert states(found) == ["held", "finished"]
    assert "another process" in found[0].message
    assert states(sweep(configs, tmp_path)) == ["finished", "skipped"]


def test_one_failure_does_not_stop_the_others(tmp_path):
    diverging = dataclasses.replace(CONFIG, lr=1e30)
    found = sweep([diverging, CONFIG], tmp_path, per_job=2)
    assert states(found) == ["failed", "finished"]
    assert "no longer finite" in found[0].message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "workers=0"),
        ({"per_job": 0}, "per_job=0"),
        ({"together": 0}, "together=0"),
        ({"together": 17}, "Fix: together=16"),
    ],
)
def test_bad_numbers(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        sweep([CONFIG], tmp_path / "sweep", **options)
    assert not (tmp_path / "sweep").exists()


def test_an_empty_sweep_and_a_strange_folder(tmp_path):
    with pytest.raises(InputError, match="an empty sweep"):
        sweep([], tmp_path)
    (tmp_path / CONFIG.id).mkdir()
    (tmp_path / CONFIG.id / "thesis.tex").touch()
    with pytest.raises(InputError, match="is no run folder"):
        sweep([CONFIG], tmp_path)


def test_a_stopped_sweep_goes_on(tmp_path, monkeypatch):
    configs = expand([CONFIG], [0, 1])
    with monkeypatch.context() as patch:
        patch.setattr("llm.training.loop.run_together", lambda jobs: [Interrupted("stopped")] * len(jobs))
        with pytest.raises(Interrupted, match="0 of 2 runs are finished"):
            sweep(configs, tmp_path)
    assert states(sweep(configs, tmp_path)) == ["finished", "finished"]


def test_runs_of_one_shape_go_side_by_side():
    adam = dataclasses.replace(CONFIG, optimizer="adam")
    first, second, third = expand([CONFIG], [0, 1, 2])
    faster = dataclasses.replace(CONFIG, lr=0.02, schedule="reshuffled")
    assert side_by_side([first, adam, second, third, faster], 2) == [[first, second], [third, faster], [adam]]
    wider = dataclasses.replace(CONFIG, width=32)
    assert side_by_side([first, wider, second], 5) == [[first, second], [wider]]


@pytest.mark.parametrize("launcher", ["inline", "processes"])
def test_side_by_side_gives_the_same_losses(tmp_path, alone, launcher):
    configs = [*expand([CONFIG], [0, 1]), dataclasses.replace(CONFIG, lr=1e30),
               dataclasses.replace(CONFIG, optimizer="adam")]  # fmt: skip
    found = sweep(configs, tmp_path / "sweep", launcher=launcher, workers=2, together=3)
    assert states(found) == ["finished", "finished", "failed", "finished"]
    assert "no longer finite" in found[2].message
    for outcome in (found[0], found[1], found[3]):
        ref = run(outcome.config, tmp_path / "alone" / outcome.config.id).losses
        np.testing.assert_array_equal(LossMatrix.load(outcome.path).values, ref.values)


def test_too_many_for_the_memory_are_refused_before_they_begin(tmp_path, monkeypatch):
    need = memory_needed(CONFIG, torch.device("cpu"))
    monkeypatch.setattr("llm.launch.sweeps.free_memory", lambda device: 2 * need)
    with pytest.raises(InputError, match="together=3 for runs of embedded.*Fix: together=2"):
        sweep(expand([CONFIG], [0, 1, 2]), tmp_path / "sweep", together=3)
    assert not list((tmp_path / "sweep").glob("*"))
    assert states(sweep(expand([CONFIG], [0, 1, 2]), tmp_path / "sweep", together=2)) == ["finished"] * 3


def test_processes_give_the_same_losses(tmp_path, alone):
    configs = expand([CONFIG, dataclasses.replace(CONFIG, lr=1e30)], [0, 1])
    found = sweep(configs, tmp_path / "processes", launcher="processes", workers=2, per_job=2)
    assert states(found) == ["finished", "finished", "failed", "failed"]
    for outcome in found[:2]:
        ref = run(outcome.config, tmp_path / "inline" / outcome.config.id).losses
        np.testing.assert_array_equal(LossMatrix.load(outcome.path).values, ref.values)


def test_processes_stop_by_a_signal_and_go_on(tmp_path, alone):
    configs = expand([dataclasses.replace(CONFIG, epochs=400)], [0, 1])
    logs = [tmp_path / config.id / "log.jsonl" for config in configs]

    def strike():
        deadline = time.monotonic() + 120
        while not any(log.exists() for log in logs) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=strike)
    thread.start()
    with pytest.raises(Interrupted, match="the same command goes on"):
        sweep(configs, tmp_path, launcher="processes", workers=1)
    thread.join()
    started = [log.parent for log in logs if log.exists()]
    assert len(started) == 1  # what had not begun does not begin
    assert (started[0] / "checkpoint" / "newest.safetensors").is_file()
    assert not (started[0] / "losses.npz").exists()


def test_a_dead_worker_is_a_failure_not_a_hang(tmp_path, alone, monkeypatch):
    monkeypatch.setattr("llm.launch.pool._prepare", os.abort)
    found = sweep([dataclasses.replace(CONFIG, seed=9)], tmp_path, launcher="processes", workers=1)
    assert states(found) == ["failed"]
    assert "BrokenProcessPool" in found[0].message


def test_submitit_on_this_machine(tmp_path, alone):
    pytest.importorskip("submitit")
    configs = expand([CONFIG, dataclasses.replace(CONFIG, lr=1e30)], [0, 1])
    found = sweep(
        configs, tmp_path / "jobs-run", launcher="submitit", per_job=4,
        parameters={"cluster": "local", "timeout_min": 5},
    )  # fmt: skip
    assert states(found) == ["finished", "finished", "failed", "failed"]
    ref = run(configs[0], tmp_path / "inline").losses
    np.testing.assert_array_equal(LossMatrix.load(found[0].path).values, ref.values)


def test_submitit_requeues_what_is_pre_empted(tmp_path, alone):
    submitit = pytest.importorskip("submitit")
    config = dataclasses.replace(CONFIG, epochs=150)
    executor = submitit.AutoExecutor(folder=tmp_path / "jobs", cluster="local")
    executor.update_parameters(timeout_min=5)
    job = executor.submit(Batch([[config]], tmp_path, persistent=True))
    try:
        log = tmp_path / config.id / "log.jsonl"
        deadline = time.monotonic() + 120
        while not (log.exists() and log.read_text().count("\n") >= 5) and time.monotonic() < deadline:
            assert not job.done()
            time.sleep(0.02)
        # A cluster announces a pre-emption by SIGTERM to the process, which saves and goes on, and by the
        # signal that makes submitit requeue.
        job_process = _task_of(job)
        os.kill(job_process, signal.SIGTERM)
        time.sleep(0.1)
        os.kill(job_process, signal.SIGUSR2)
        (outcome,) = job.result()
    finally:
        job.cancel()
        job._process.wait()
    assert outcome.state == "finished"
    assert "Requeued job" in job.stderr() + job.stdout()
    ref = run(config, tmp_path / "inline").losses
    np.testing.assert_array_equal(LossMatrix.load(outcome.path).values, ref.values)


def _task_of(job):
    """The process that works for a local job: the child of its controller."""
    children = Path(f"/proc/{job.job_id}/task/{job.job_id}/children")
    if not children.exists():
        pytest.skip("needs Linux's list of child processes")
    return int(children.read_text().split()[0])


def test_submitit_missing_or_misused(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    with pytest.raises(InputError, match="submitit: "):
        sweep(
            [CONFIG], tmp_path, launcher="submitit", parameters={"cluster": "local", "slurm_gpus_pr_node": 1}
        )
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match="pip install submitit"):
        sweep([CONFIG], tmp_path, launcher="submitit")
