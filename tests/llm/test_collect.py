"""Results that are kept: examined before, small, with their commands, and what is not recorded named."""

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import llm
from llm import RunConfig, run
from llm.runs.kept import examine, provenance
from llm.runs.log import rewind
from llm.training.saving import AfterEpisodes
from reawaken import main
from tests.llm.given import Breakdown
from toymodel import InputError, LossMatrix

TINY = RunConfig(width=16, depth=1, heads=2, feed_forward=16, num_documents=3, context=8, steps=1, epochs=2,
                 lr=0.01, probes=("updates",), documents="texts.txt", device="cpu")  # fmt: skip


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two finished runs, one that was stopped and one that diverged, all of one file."""
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("\n".join(f"{word} " * 30 for word in ("one", "two", "three")))
    for seed in (0, 1):
        run(replace(TINY, seed=seed), f"runs/adam-{seed}", keep_weights=True)
    with pytest.raises(OSError, match="went down"):
        run(replace(TINY, seed=2), "runs/adam-2", saving=AfterEpisodes(1), trackers=[Breakdown(3)])
    with pytest.raises(InputError, match="no longer finite"):
        run(replace(TINY, lr=1e30, optimizer="sgd"), "runs/wild")
    return Path("runs")


def collect(*words):
    return main(["llm", "collect", *map(str, words)])


SOURCE = ("--sources", "texts.txt=three lines that this test wrote", "--commit", "c0ffee")


def test_runs_are_kept_with_where_they_came_from(runs, capsys, monkeypatch):
    assert collect(runs, "--into", "kept", *SOURCE, "--notes", "tiny") == 0
    said = capsys.readouterr().out
    assert "2 new runs in kept" in said
    assert "not recorded: wild, diverged after 1 episodes" in said
    known = provenance(Path("kept"))
    assert set(known["runs"]) == {"adam-0", "adam-1"}
    assert known["not_recorded"] == {"adam-2": "2 of 6 episodes", "wild": "diverged after 1 episodes"}
    assert known["files"]["texts.txt"].keys() == {"what", "sha256"}
    assert known["notes"] == ["tiny"]
    assert "cpu" in known["device"]
    names = {
        str(file.relative_to("kept/adam-0")) for file in Path("kept/adam-0").rglob("*") if file.is_file()
    }
    assert names == {"config.json", "manifest.json", "log.jsonl", "losses.npz", "probes/updates.npz"}
    kept = llm.Run.load("kept/adam-1")
    np.testing.assert_array_equal(kept.losses.values, llm.Run.load("runs/adam-1").losses.values)
    # The command makes exactly this run.
    started = []

    def start(config, *args, **kwargs):
        started.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("llm.training.loop.run", start)
    assert main(shlex.split(known["runs"]["adam-1"]["command"])[1:]) == 130
    assert started == [kept.config]


def test_the_same_command_adds_what_is_new(runs, capsys):
    assert collect(runs / "adam-0", "--into", "kept", *SOURCE) == 0
    before = provenance(Path("kept"))
    assert collect(runs, "--into", "kept", "--commit", "c0ffee") == 0  # the file's words are known
    assert provenance(Path("kept"))["runs"]["adam-0"] == before["runs"]["adam-0"]
    assert collect(runs, "--into", "kept", "--commit", "c0ffee") == 0
    assert "no new runs for kept: 2 are there, 2 are not finished" in capsys.readouterr().out
    # A copy that was cut short is made again.
    Path("kept/adam-1/losses.npz").unlink()
    assert collect(runs, "--into", "kept", "--commit", "c0ffee") == 0
    assert llm.Run.load("kept/adam-1").losses.epochs == 2


def refused(capsys, words, *arguments):
    assert collect(*arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_what_cannot_be_kept_is_said_in_one_line(runs, capsys, tmp_path):
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    refused(capsys, "there is no run in", nothing, "--into", "kept")
    refused(capsys, "nothing says where that came from", runs, "--into", "kept", "--commit", "c")
    refused(
        capsys,
        "no run reads a file of that name",
        runs,
        "--into",
        "kept",
        *SOURCE[:2],
        "b.txt=x",
        *SOURCE[2:],
    )
    refused(capsys, "expected NAME=WORDS", runs, "--into", "kept", "--sources", "texts.txt")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("...")
    refused(capsys, "exists and is no collection", runs, "--into", "mine", *SOURCE)
    os.mkfifo("pipe")
    refused(capsys, "is a pipe", runs, "--into", "pipe", *SOURCE)
    assert not Path("kept").exists()
    assert collect(runs, "--into", "kept", *SOURCE) == 0
    Path("other").mkdir()
    Path("runs/adam-1").rename("other/adam-0")
    refused(capsys, "two runs are called adam-0", runs, "other", "--into", "kept", *SOURCE)
    refused(capsys, "holds another run adam-0", "other", "--into", "kept", *SOURCE)
    Path("other/adam-0").rename("other/again")
    refused(capsys, "is the same configuration as adam-1", "other", "--into", "kept", *SOURCE)
    run(replace(TINY, seed=5), "more/adam-5")
    Path("texts.txt").write_text("four\n")
    refused(capsys, "another file than the one that is recorded", "more", "--into", "kept", *SOURCE)


def test_runs_whose_files_contradict_each_other_are_not_kept(runs, capsys):
    one = llm.Run.load(runs / "adam-0")
    examine(one)
    rewind(runs / "adam-0" / "log.jsonl", 4)  # a log that lost lines says nothing wrong
    examine(llm.Run.load(runs / "adam-0"))
    losses = one.losses
    replace(losses, values=losses.values * 1.01).save(runs / "adam-0" / "losses.npz")
    refused(capsys, "log's line of episode 1 does not agree", runs, "--into", "kept", *SOURCE)
    order = losses.order[:, ::-1].copy()
    LossMatrix(losses.values, order, losses.meta).save(runs / "adam-0" / "losses.npz")
    refused(capsys, "order in losses.npz is not that of its settings", runs, "--into", "kept", *SOURCE)
    losses.save(runs / "adam-0" / "losses.npz")
    manifest = json.loads((runs / "adam-0" / "manifest.json").read_text())
    del manifest["model"], manifest["checksum"]
    (runs / "adam-0" / "manifest.json").write_text(json.dumps(manifest))
    refused(capsys, "its manifest lacks weights", runs, "--into", "kept", *SOURCE)
    assert not Path("kept").exists()


@pytest.mark.parametrize(("kind", "words"), [("rehearsal", "expected runs that are results"),
                                             ("campaign", "reawaken llm campaign collect")])  # fmt: skip
def test_a_rehearsal_is_never_a_result(runs, capsys, kind, words):
    (runs / "campaign.json").write_text(
        json.dumps({"kind": kind, "precision": "ieee", "sha256": {}, "runs": {}})
    )
    refused(capsys, words, runs, "--into", "kept", *SOURCE)
