"""The campaign: in order, within its time, resumed, collected, and refused where it cannot work."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from llm import run as train
from llm.config import RunConfig
from llm.cost.work import count_work
from llm.data.corpus import export_documents
from llm.launch.campaign import ENTRIES, CampaignFolder, Entry, as_preset, plan, run_campaign
from llm.launch.campaign import runner as runner_module
from llm.launch.campaign.command import main
from llm.launch.campaign.listing import markdown, states, update_document
from llm.launch.campaign.plan import select
from llm.launch.campaign.timed_run import Deadline, run_until
from llm.launch.campaign.timing import TimeEstimator, memory_needed, network
from llm.names import SHAPES
from llm.presets import preset
from llm.runs.finished import Run
from llm.runs.folder import RunFolder
from llm.training.interrupt import Interrupted
from toymodel import InputError, LossMatrix

ROOT = Path(__file__).parents[3]
TINY = {
    "model": "pythia-14m", "width": 16, "depth": 2, "heads": 2, "feed_forward": 32, "context": 8,
    "num_documents": 4, "steps": 1, "epochs": 2,
}  # fmt: skip
TWO = (
    Entry("one", "?", {"a": ("fig2b-160m", TINY), "b": ("fig6-adam", TINY)}, (0,)),
    Entry("two", "?", {"same": ("fig6-gd", TINY), "c": ("fig18-50", TINY | {"num_documents": 6})}, (0,)),
)


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    return export_documents(folder / "documents.jsonl", 8)[0]


@pytest.fixture
def go(tmp_path, documents):
    def go(out=tmp_path / "out", **options):
        settings = {"device": "cpu", "documents": documents, "entries": TWO}
        return run_campaign(out, **settings | options)

    go.out = tmp_path / "out"
    return go


def test_the_plan_is_the_papers_experiments_in_order_of_worth():
    runs = plan()
    assert [e.name for e in ENTRIES] == list(dict.fromkeys(run.entry for run in runs))
    assert len({run.name for run in runs}) == len({run.config.id for run in runs}) == len(runs)
    for config in (planned.config for planned in runs):
        assert (config.documents, config.vocabulary, config.precision) == ("documents.jsonl", "model", "tf32")
        assert (config.weights, config.tokenizer) in (("random", "tokenizer.json"), ("pretrained", None))
    assert {run.config.precision for run in plan(precision="ieee")} == {"ieee"}
    assert {run.entry for run in runs if run.config.weights == "pretrained"} == {"trained"}
    sizes = {run.config.model for run in select(runs, ["fig2b"])}
    assert sizes == {f"pythia-{s}" for s in ("160m", "410m", "1b", "1.4b", "2.8b")}
    assert {run.config.seed for run in select(runs, ["fig2b-1b"])} == {0, 1, 2}
    # What another entry already brought is not planned twice, and still found under both names.
    assert [run.name for run in select(runs, ["fig15-pythia"])] == [f"fig2b-1b-seed{s}" for s in range(3)]
    frozen = [run.config.freeze_blocks for run in select(runs, ["fig5"]) if run.config.freeze_blocks]
    assert set(frozen) == {6, 9, 12, 15, 18}
    assert {run.config.model for run in select(runs, ["fig5", "fig8", "fig9", "fig17"])} == {"pythia-410m"}
    assert max(run.config.num_documents for run in runs if run.entry not in ("fig18", "many")) <= 96


def test_runs_are_found_by_their_presets():
    for run in select(
        plan(), ["fig2b", "fig6", "fig3", "fig14", "fig15", "fig12", "fig4", "fig18-50", "control"]
    ):
        if run.name.startswith("fig6-adam-"):  # no preset has this order with Adam
            continue
        assert as_preset(run.config) == dataclasses.replace(
            preset(run.name.rpartition("-seed")[0] + "-random"), seed=run.config.seed, precision="tf32"
        )
    other = RunConfig(documents="mine.jsonl")
    assert as_preset(other) == other


def test_a_name_that_is_not_in_the_plan():
    with pytest.raises(InputError, match=r"--only fig2b-1\.4c; .*Fix: --only fig2b-1\.4b$"):
        select(plan(), ["fig2b-1.4c"])


def test_the_rehearsal_holds_every_kind_of_run():
    small, large = plan(rehearse=True), plan()
    assert {run.entry for run in small} <= {run.entry for run in large}
    for field in ("optimizer", "schedule", "init", "probes"):
        kinds = {getattr(run.config, field) for run in large}
        assert {getattr(run.config, field) for run in small} == kinds
    assert {run.config.model for run in small} == {"pythia-14m"}
    assert max(run.config.width for run in small) <= 64


def test_everything_runs_once_and_is_collected(go, tmp_path, capsys):
    found = go()
    assert [a.state for a in found.outcomes.values()] == ["finished"] * 3
    assert list(found.outcomes) == ["a-seed0", "b-seed0", "c-seed0"]  # `same` is `a`
    assert found.left == found.too_large == []
    assert capsys.readouterr().err.count("finished") == 3
    assert go().outcomes == {}
    facts = CampaignFolder(go.out).read()["runs"]["c-seed0"]
    run = next(r for r in plan(TWO) if r.name == "c-seed0")
    assert facts["operations"] == count_work(run.config, network(run.config).parameters).episode_operations(
        run.config
    )

    into = tmp_path / "collected"
    runs = plan(TWO)
    assert CampaignFolder(go.out).collect(into, runs) == [run.name for run in runs]
    assert CampaignFolder(go.out).collect(into, runs) == []
    names = sorted(str(f.relative_to(into)) for f in into.rglob("*") if f.is_file())
    kept = ["config.json", "log.jsonl", "losses.npz", "manifest.json"]
    assert names == sorted(
        ["campaign.json", "c-seed0/probes/pairwise.npz", *[f"{run.name}/{k}" for run in runs for k in kept]]
    )
    collected = Run.load(into / "c-seed0")
    np.testing.assert_array_equal(collected.losses.values, LossMatrix.load(go.out / "c-seed0").values)
    assert collected.manifest["execution"].startswith("eager (no CUDA")
    # Where these results are at hand, a fresh machine does not run them again.
    again = go(tmp_path / "elsewhere", recorded=[into])
    assert again.outcomes == {}
    table = markdown(states(plan(TWO), into), TWO)
    assert (table.count("| done, "), table.count("| pending |")) == (4, 0)


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
        found = run_until(config, str(path), clock.now + 6.5, 0, clock)
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
    found = run_until(config, str(tmp_path / "late"), time.monotonic() - 1, 0)
    assert found.state == "paused"
    assert found.episode_seconds is None
    assert not (tmp_path / "late" / "log.jsonl").exists()


def test_a_rehearsal_is_never_a_result(go, tmp_path):
    go(rehearse=True, entries=ENTRIES, only=["fig9"])
    with pytest.raises(InputError, match="is a rehearsal; expected a campaign"):
        CampaignFolder(go.out).collect(tmp_path / "collected", plan())
    assert {state.word for state in states(plan(), go.out).values()} == {"pending"}


def test_runs_of_a_trained_network_wait_for_one(go, tmp_path, capsys):
    trained = (Entry("t", "?", {"t": ("fig1", {"context": 8, "steps": 1})}, (0,), pretrained=True), *TWO)
    assert "t-seed0" not in go(entries=trained, only=["t", "a"]).outcomes
    assert "1 runs of a trained network wait for one" in capsys.readouterr().err
    (tmp_path / "weights.bin").touch()
    with pytest.raises(InputError, match=r"--model .*weights.bin; expected a .gguf file"):
        go(model=tmp_path / "weights.bin")
    with pytest.raises(InputError, match=r"--model .*gone.gguf; expected an existing file"):
        go(model=tmp_path / "gone.gguf")
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(InputError, match=r"pretrained.gguf"):
        go(entries=trained, only=["t"], model=tmp_path / "empty.gguf")
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"its pretrained.gguf is not"):
        go(model=tmp_path / "other.gguf")


def test_what_is_nearest_its_end_goes_first(go, tmp_path, monkeypatch):
    """A run that was cut short goes on before any new one begins."""

    def cut(config, path, trackers=(), **options):
        if config.optimizer == "adam":

            def stop(view, episode):
                if episode == 3:
                    signal.raise_signal(signal.SIGTERM)

            trackers[0].after_episode = stop
        return train(config, path, trackers=trackers, **options)

    monkeypatch.setattr("llm.training.loop.run", cut)
    with pytest.raises(Interrupted):
        go(only=["b"])
    monkeypatch.undo()
    assert list(go().outcomes) == ["b-seed0", "a-seed0", "c-seed0"]


def test_a_failed_run_does_not_end_the_campaign(go, monkeypatch, capsys):
    def fails(config, path, **options):
        if config.optimizer == "adam":
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to")
        return train(config, path, **options)

    monkeypatch.setattr("llm.training.loop.run", fails)
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


def test_a_budget_too_small_for_one_episode(go):
    with pytest.raises(InputError, match=r"--budget leaves \d+ s, and a-seed0 .*Fix: --budget \d+\.\d$"):
        go(budget=0.01)
    assert not (go.out / "a-seed0").exists()
    with pytest.raises(InputError, match=r"--budget -1"):
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
        InputError, match=r"fig2b-1\.4b-seed0 needs about .*Fix: --only fig2b-1b-seed0, the next"
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


def test_folders_of_something_else(go, tmp_path, documents):
    go(only=["a"])
    other = tmp_path / "other.jsonl"
    other.write_text(documents.read_text().replace("the", "teh"))
    with pytest.raises(InputError, match=r"another campaign \(its documents.jsonl is not .*other.jsonl\)"):
        go(documents=other, tokenizer=documents.with_suffix(".tokenizer.json"))
    with pytest.raises(InputError, match="it is a campaign, this is a rehearsal"):
        go(rehearse=True)
    with pytest.raises(InputError, match="its precision is tf32, not ieee"):
        go(precision="ieee")
    (go.out / "documents.jsonl").write_text("{}")
    with pytest.raises(InputError, match=r"its documents.jsonl has changed since"):
        go(documents=None)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("...")
    with pytest.raises(InputError, match="exists and is no campaign"):
        go(tmp_path / "mine")
    with pytest.raises(InputError, match="is no collection"):
        CampaignFolder(go.out).collect(tmp_path / "mine", [])
    with pytest.raises(InputError, match=r"campaign.json' cannot be read"):
        CampaignFolder(tmp_path / "mine").read()


def test_a_collection_of_another_campaign(go, tmp_path, documents, capsys):
    go(only=["a"])
    into = tmp_path / "collected"
    CampaignFolder(go.out).collect(into, plan(TWO))
    other = tmp_path / "other.jsonl"
    other.write_text(documents.read_text().replace("the", "teh"))
    options = {"documents": other, "tokenizer": documents.with_suffix(".tokenizer.json"), "only": ["a"]}
    second = tmp_path / "second"
    found = go(second, recorded=[into], **options)
    assert "holds another campaign" in capsys.readouterr().err
    assert found.outcomes["a-seed0"].state == "finished"
    with pytest.raises(InputError, match=r"holds results of another campaign"):
        CampaignFolder(second).collect(into, plan(TWO))


def test_weights_are_never_collected(go, tmp_path):
    go(only=["a"])
    folder = CampaignFolder(go.out)
    (go.out / "a-seed0" / "model.safetensors").write_bytes(b"weights")
    np.savez(go.out / "a-seed0" / "summaries.npz", a=1)
    folder.collect(tmp_path / "c", plan(TWO))
    assert {f.name for f in (tmp_path / "c" / "a-seed0").iterdir()} >= {"losses.npz", "summaries.npz"}
    assert not (tmp_path / "c" / "a-seed0" / "model.safetensors").exists()
    with (go.out / "a-seed0" / "probes.npz").open("wb") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(InputError, match=r"has 16 MiB; expected results of at most 16 MiB"):
        folder.collect(tmp_path / "d", plan(TWO))


def test_documents_and_tokenizers_that_cannot_be_used(go, tmp_path, documents):
    bare = tmp_path / "bare.jsonl"
    bare.write_text(documents.read_text())
    with pytest.raises(InputError, match=r"--documents .*bare.jsonl without a tokenizer"):
        go(documents=bare)
    with pytest.raises(InputError, match=r"--tokenizer .*nothing.json; expected an existing file"):
        go(tokenizer=tmp_path / "nothing.json")
    with pytest.raises(InputError, match="is no tokenizer"):
        go(tokenizer=bare)
    large = tmp_path / "large.json"
    words = {f"w{i}": i for i in range(50305)}
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel(words, unk_token="w0")).save(str(large))
    with pytest.raises(InputError, match=r"of 50305 tokens; expected at most 50304"):
        go(tokenizer=large)
    assert not go.out.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_touched(go, tmp_path, capsys):
    with pytest.raises(InputError, match="campaign --device auto"):
        go(device="auto")
    assert not go.out.exists()
    assert main(["run", "--out", str(go.out)]) == 2
    assert capsys.readouterr().err.startswith("reawaken: campaign --device auto: ")
    with pytest.raises(InputError, match="--device cuda"):
        train(RunConfig(device="cuda"), tmp_path / "run")


def test_times_are_scaled_from_the_run_that_is_most_alike():
    small, large = (RunConfig(model=m) for m in ("pythia-14m", "pythia-31m"))
    guess = TimeEstimator([], rate=1e12)
    assert guess.episode(large) > guess.episode(small) > 0
    operations = TimeEstimator.operations(small)
    parameters = network(small).parameters
    facts = {"operations": operations, "parameters": parameters, "episode_seconds": 3.0, "setup_seconds": 7.0}
    times = TimeEstimator([facts], rate=1e12)
    assert times.episode(small) == 3.0
    assert times.episode(large) == pytest.approx(3.0 * TimeEstimator.operations(large) / operations)
    assert times.least(small, 5) == 13.0
    assert times.least(small, 0) == 7.0
    pairwise = RunConfig(model="pythia-14m", probes=("pairwise",))
    assert times.least(pairwise, 0) == 7.0 + 25 * times.episode(pairwise)


def test_the_documented_table_is_the_plan(tmp_path):
    document = ROOT / "docs" / "gpu-campaign.md"
    copy = tmp_path / "copy.md"
    copy.write_text(document.read_text())
    recorded = ROOT / "figures" / "recorded"
    found = states(plan(), recorded / "campaign", recorded / "h100")
    assert not update_document(copy, found), "reawaken llm campaign document --file docs/gpu-campaign.md"
    # Seed 0 of the sizes and of Adam in both orders were run before there was a campaign.
    assert {name for name, state in found.items() if state.word == "done"} >= {
        "fig6-adam-seed0", "fig6-adam-reshuffled-seed0", "fig2b-1b-seed0", "fig2b-2.8b-seed0",
    }  # fmt: skip
    for entry in ENTRIES:
        for member in entry.members:
            assert f"`{member}`" in document.read_text()
    copy.write_text("no marks")
    with pytest.raises(InputError, match="runs: begin"):
        update_document(copy, found)


def test_the_parser_of_machines_without_tyro(capsys, tmp_path):
    assert main(["list", "--only", "fig9", "larger", "--recorded", str(tmp_path / "none")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == [
        "fig9-410m-seed0",
        "fig2b-6.9b-seed0",
        "fig2b-12b-seed0",
    ]
    assert lines[-1] == "0 of 3 runs are done"
    assert main(["list", "--only", "fig99"]) == 2
    assert "Fix: --only fig9" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["run"])
    assert "--out" in capsys.readouterr().err


BLOCKED = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {absent} else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import runpy
sys.argv = ["campaign", *{argv}]
runpy.run_module("llm.launch.campaign", run_name="__main__")
"""


def test_runs_without_the_packages_that_a_gpu_machine_may_lack(tmp_path, documents):
    absent = (
        "datasets",
        "tyro",
        "lmfit",
        "xarray",
        "h5netcdf",
        "pandas",
        "pyarrow",
        "submitit",
        "torchvision",
        "xxhash",
        "gguf",
    )
    argv = ["rehearse", "--device", "cpu", "--out", str(tmp_path / "out"), "--documents", str(documents),
            "--only", "fig8", "fig9", "fig17"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(absent=absent, argv=argv)], cwd=ROOT, capture_output=True,
        text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 finished; 0 runs are left\n"
    versions = json.loads((tmp_path / "out" / "fig8-410m-seed0" / "manifest.json").read_text())["versions"]
    assert "torch" in versions
