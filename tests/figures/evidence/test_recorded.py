"""Recorded results, checked as a stranger's would be: by their commands, arithmetic and each other."""

import json
import math
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest

from figures.evidence.collection import RECORDED, Runs, recorded
from figures.evidence.record import configurations, configurations_of_orders
from figures.evidence.stored import INDEX, read_folders, read_packed
from llm.cost.shape import network
from llm.data.documents import load_documents
from llm.runs.finished import Run
from llm.runs.kept import PROVENANCE, provenance
from llm.tasks.order import episode_order
from reawaken import main
from toymodel import InputError, recovery_scores

REAL = RECORDED / "h100"
FOLDERS = sorted(place.parent.name for place in REAL.glob("*/config.json"))


@pytest.fixture(scope="module")
def runs():
    return recorded()


@pytest.fixture
def started(monkeypatch):
    """Configurations of the runs that commands would have started."""
    found = []

    class Stop(Exception):
        pass

    def run(config, *args, **kwargs):
        found.append(config)
        raise Stop

    monkeypatch.setattr("llm.training.loop.run", run)

    def start(command):
        program, *words = shlex.split(command)
        assert program == "reawaken"
        with pytest.raises(Stop):
            main(words)
        return found[-1]

    return start


def scores(values, order):
    """Paper eq. 1 by plain loops over documents: ratio of means of the peak, before and after."""
    epochs, tasks = order.shape
    found = []
    for epoch in range(1, epochs):
        forgotten, back = 0.0, 0.0
        for task in range(tasks):
            left = 1 + (epoch - 1) * tasks + list(order[epoch - 1]).index(task)
            returns = epoch * tasks + list(order[epoch]).index(task)
            peak = max(values[row, task] for row in range(left, returns + 1))
            forgotten += peak - values[left, task]
            back += peak - values[returns, task]
        found.append(back / forgotten)
    return found


def test_all_fourteen_are_there_each_with_its_provenance(runs):
    assert len(FOLDERS) == 14
    assert set(provenance(REAL)["runs"]) == set(FOLDERS)
    assert {run.name for run in runs} >= set(FOLDERS)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_real_run_is_what_it_says(name, runs, started):
    run, line = runs.named(name), provenance(REAL)["runs"][name]
    config, manifest, losses = run.config, run.manifest, run.losses
    assert started(line["command"]) == config
    # The order of episodes, the size of the network and the precision follow from the settings.
    np.testing.assert_array_equal(losses.order, episode_order(config))
    if config.model.startswith("pythia"):
        assert manifest["model"]["parameters"] == network(config).parameters
    matmul, tf32 = {"tf32": ("high", True), "ieee": ("highest", False)}[config.precision]
    assert (manifest["precision"]["matmul"], manifest["precision"]["cudnn_tf32"]) == (matmul, tf32)
    # The log was written episode by episode, the matrix at the end.
    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert [line["episode"] for line in log] == list(range(1, 1 + losses.episodes))
    assert [line["task"] for line in log] == losses.order.ravel().tolist()
    np.testing.assert_allclose(
        [line["mean_loss"] for line in log], losses.values[1:].mean(axis=1), rtol=1e-12
    )
    # Random weights know nothing: the loss is that of a guess, or a little above; every episode trains.
    if config.weights == "random":
        rows = {"pythia": 50304, "smollm": 49152}[config.model[:6]]
        assert 0 <= losses.values[0].mean() - math.log(rows) < 0.3
    first = losses.values[1:26][np.arange(25), losses.order[0]]
    assert (first < losses.values[0, losses.order[0]]).all()


def test_runs_on_the_same_documents_have_the_same_tasks_and_starting_points():
    runs = list(read_folders(REAL))
    for model, tasks in (("pythia", 1), ("smollm", 1)):
        some = [run for run in runs if run.config.model.startswith(model)]
        assert len({run.manifest["tasks"]["sha256"] for run in some}) == tasks
    # Both tokenizers drew the same articles, and a starting point depends on the network alone.
    assert len({tuple(run.manifest["tasks"]["names"]) for run in runs}) == 1
    weights = {}
    for run in runs:
        key = (run.config.model, run.config.weights)
        weights.setdefault(key, set()).add(run.manifest["model"]["sha256"])
    assert all(len(found) == 1 for found in weights.values())
    assert len(set.union(*weights.values())) == len(weights)


def test_the_articles_are_those_of_the_command_that_makes_the_file(tmp_path, monkeypatch):
    """Names and rows follow from the file and the seed; with the tokenizer the hash of tokens does too."""
    pytest.importorskip("gensim")
    monkeypatch.chdir(tmp_path)
    for command in provenance(REAL)["documents"]["commands"]:
        if command.startswith("reawaken "):
            assert main(command.split()[1:]) == 0
    for run in read_folders(REAL):
        config = replace(run.config, model="embedded", weights="random", tokenizer=None)
        tasks = load_documents(config).manifest()
        assert tasks["names"] == run.manifest["tasks"]["names"]
        assert tasks["rows"] == run.manifest["tasks"]["rows"]


def test_the_scores_are_the_published_ones(runs):
    for name, score in (("pythia-1b-adam-seed0", 0.690), ("pythia-1b-sgd-seed0", 0.241)):
        losses = runs.named(name).losses
        found = scores(losses.values, losses.order)
        assert found[-1] == pytest.approx(score, abs=5e-4)
        np.testing.assert_allclose([s.value for s in recovery_scores(losses)], found, rtol=1e-9)
    # Fig. 2b: the larger the network, the more it recovers in the last epoch.
    sizes = ("160m", "410m", "1b", "1.4b", "2.8b")
    last = [recovery_scores(runs.named(f"pythia-{size}-sgd-seed0").losses)[-1].value for size in sizes]
    assert last == sorted(last)


def test_tf32_is_ieee_but_for_rounding(runs):
    """From the same point the two part by rounding, far less than networks of other sizes do."""
    coarse, fine, smaller = (
        runs.named(f"pythia-{name}-seed0").losses for name in ("410m-sgd", "410m-sgd-ieee", "160m-sgd")
    )
    assert abs(coarse.values[0] / fine.values[0] - 1).max() < 1e-5
    apart = abs(coarse.values - fine.values).mean()
    assert 0 < apart < abs(smaller.values - fine.values).mean() / 10
    ours, theirs = ([s.value for s in recovery_scores(m)] for m in (coarse, fine))
    np.testing.assert_allclose(ours, theirs, atol=0.03)


@pytest.fixture
def copied(tmp_path):
    """Two recorded runs and their provenance, to be damaged."""
    for name in ("pythia-1b-adam-seed0", "smollm2-random-sgd-seed0"):
        shutil.copytree(REAL / name, tmp_path / "h100" / name)
    shutil.copy(REAL / PROVENANCE, tmp_path / "h100" / PROVENANCE)
    assert len(Runs.load(tmp_path / "h100")) == len(Runs.load(tmp_path)) == 2
    return tmp_path / "h100"


def refused(folder, what):
    with pytest.raises(InputError, match=what) as error:
        Runs.load(folder)
    assert len(str(error.value).splitlines()) == 1


def test_tasks_that_differ_from_what_is_said_are_refused(copied, tmp_path, capsys):
    file = copied / "pythia-1b-adam-seed0" / "manifest.json"
    manifest = json.loads(file.read_text())
    other = dict(manifest, tasks=dict(manifest["tasks"], sha256="c916d16f"))
    file.write_text(json.dumps(other))
    refused(copied, "different runs: its tasks is ebc6400b5af1 by losses.npz and c916d16f by manifest.json")
    file.write_text(json.dumps(dict(manifest, tasks=dict(manifest["tasks"], names=["lee-1"]))))
    refused(copied, "its number of tasks is 1 by manifest.json and 25 by config.json")
    # Files that agree with each other, and not with what was recorded.
    losses = Run.load(REAL / "pythia-1b-adam-seed0").losses
    file.write_text(json.dumps(other))
    replace(losses, meta=dict(losses.meta, tasks_sha256="c916d16f")).save(file.parent / "losses.npz")
    refused(copied, f"has other tasks than {PROVENANCE} says")
    assert main(["figures", "6", "--runs", str(copied), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_files_of_another_run_are_refused(copied):
    one, other = copied / "pythia-1b-adam-seed0", copied / "smollm2-random-sgd-seed0"
    shutil.copy(other / "losses.npz", one / "losses.npz")
    refused(copied, "holds files of different runs: its .* by losses.npz and .* by config.json")
    shutil.rmtree(one)
    other.rename(one)
    refused(copied, f"has other config than {PROVENANCE} says")
    one.rename(copied / "mine")
    refused(copied, f"has no line in {PROVENANCE}")
    (copied / PROVENANCE).write_text("{")
    refused(copied, "cannot be read")


def test_losses_that_were_changed_are_refused(copied):
    file = copied / "pythia-1b-adam-seed0" / "losses.npz"
    losses = Run.load(REAL / "pythia-1b-adam-seed0").losses
    replace(losses, values=losses.values * 0.5).save(file)
    refused(copied, f"has other losses than {PROVENANCE} says")


def test_the_commands_of_small_results_make_exactly_them(started):
    for index in (RECORDED / INDEX, RECORDED / "orders" / INDEX):
        for entry in json.loads(index.read_text()):
            assert started(entry["command"]).id == entry["id"], entry["command"]


def test_the_small_results_are_small_networks_and_small_files():
    runs = list(read_packed(RECORDED))
    assert len(runs) > 20
    every = [*configurations((0,)), *configurations_of_orders((0,))]
    small = {replace(config, probes=()) for config in every}
    for run in runs:
        assert replace(run.config, seed=0, probes=()) in small
        assert run.manifest["git_commit"]
        assert run.manifest["tasks"]["sha256"]
        values = run.losses.values
        assert values.shape == (1 + run.config.epochs * run.config.num_documents, run.config.num_documents)
        # It has learned. Of all tasks together that need not be true: small classifiers end above chance.
        trained = values[np.arange(1, len(values)), run.losses.order.ravel()]
        assert trained[-run.config.num_documents :].mean() < values[0].mean() - 0.5
    assert sum(p.stat().st_size for p in RECORDED.rglob("*")) < 20e6
    entries = json.loads((RECORDED / INDEX).read_text())
    assert {entry["id"] for entry in entries} == {p.stem for p in RECORDED.glob("*.npz")}
