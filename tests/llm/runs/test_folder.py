"""A run folder believes nothing: kills, damage, other processes, other people's files."""

import dataclasses
import json
import multiprocessing
import os
import shutil

import numpy as np
import pytest

import llm
from llm import RunConfig, run
from llm.runs.folder import RunFolder
from llm.runs.show import show_any, show_run
from llm.training.saving import AfterEpisodes
from tests.llm.given import Breakdown, refusal
from toymodel import InputError
from toymodel.base.lock import lock

TINY = RunConfig(width=16, depth=1, heads=2, feed_forward=16, num_documents=3, context=8, steps=1, epochs=3,
                 lr=0.01, probes=("residuals",), device="cpu")  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run."""
    return run(TINY, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def stopped(tmp_path):
    """The folder of a run that went down in its seventh episode, with checkpoints of the fifth and sixth."""
    out = tmp_path / "run"
    with pytest.raises(OSError, match="went down"):
        run(TINY, out, saving=AfterEpisodes(1), trackers=[Breakdown(7)])
    return out


def same(one, two):
    """Whether two finished runs have the same losses and probes, bit for bit."""
    mine, theirs = one.probe("residuals"), two.probe("residuals")
    return np.array_equal(one.losses.values, two.losses.values) and all(
        np.array_equal(mine[key], theirs[key], equal_nan=mine[key].dtype.kind == "f") for key in theirs
    )


def flip(file, place=0.7):
    """Flip one bit of a file."""
    data = bytearray(file.read_bytes())
    data[int(place * len(data))] ^= 16
    file.write_bytes(data)


@pytest.mark.parametrize("left", [".config.json.abcdefgh.tmp", ".lock"])
def test_what_a_kill_leaves_of_a_new_folder_blocks_nothing(tmp_path, whole, left):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / left).write_text("{")
    assert same(run(TINY, tmp_path / "run"), whole)
    assert not [p.name for p in (tmp_path / "run").iterdir() if p.name.startswith(".")]


def test_a_checkpoint_beside_finished_losses_is_removed(tmp_path):
    out = tmp_path / "run"
    run(TINY, out)
    (out / "checkpoint" / "trajectories").mkdir(parents=True)
    (out / ".losses.npz.abcdefgh.tmp").touch()
    run(TINY, out)
    assert sorted(p.name for p in out.iterdir()) == [
        "config.json", "log.jsonl", "losses.npz", "manifest.json", "probes"]  # fmt: skip


@pytest.mark.parametrize("file", ["checkpoint/newest.safetensors", "checkpoint/trajectories/all/000006.f32"])
@pytest.mark.parametrize("place", [0.001, 0.1, 0.5, 0.99])
def test_a_flipped_bit_falls_back_to_the_previous_checkpoint(stopped, whole, capsys, file, place):
    flip(stopped / file, place)
    assert same(run(TINY, stopped), whole)
    assert "newest.safetensors is damaged" in capsys.readouterr().err


def test_a_damaged_state_that_both_rely_on_starts_again(stopped, whole, capsys):
    flip(stopped / "checkpoint/trajectories/all/000002.f32")
    assert same(run(TINY, stopped), whole)
    assert "starting from the beginning" in capsys.readouterr().err


def test_a_damaged_checkpoint_never_stands_behind_the_next(stopped):
    flip(stopped / "checkpoint/newest.safetensors")
    folder = RunFolder(stopped)
    with folder.hold():
        checkpoint, _ = folder.resume()
    assert checkpoint.episode == 5
    assert [p.name for p in (stopped / "checkpoint").glob("*.safetensors")] == ["previous.safetensors"]
    assert len(list((stopped / "checkpoint").glob("trajectories/all/*"))) == 6


def test_a_state_that_is_damaged_while_it_is_needed(tmp_path, whole, capsys):
    class Flip(Breakdown):
        def after_episode(self, run, episode):
            if episode == self.episode:
                flip(run.path / "checkpoint/trajectories/all/000004.f32")

    with pytest.raises(InputError, match=r"000004\.f32.*checksum.*same command again"):
        run(TINY, tmp_path / "run", saving=AfterEpisodes(1), trackers=[Flip(6)])
    assert same(run(TINY, tmp_path / "run"), whole)


def test_a_byte_that_is_no_text_in_the_log(stopped, whole):
    log = stopped / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(
        b"".join([lines[0], lines[1][:20] + b"\xff" + lines[1][21:], *lines[2:], b'{"episode": 8'])
    )
    assert "unfinished: 6 of 9" in show_run(stopped)
    assert same(run(TINY, stopped), whole)
    assert [r["episode"] for r in RunFolder(stopped).read_log()] == [1, *range(3, 10)]


def test_a_number_that_changed_in_the_log_is_no_record(stopped):
    log = stopped / "log.jsonl"
    records = RunFolder(stopped).read_log()
    text = log.read_text().splitlines()
    text[-1] = text[-1].replace('"mean_loss": 6', '"mean_loss": 5')
    log.write_text("\n".join(text))
    assert RunFolder(stopped).read_log() == records[:-1]


@pytest.mark.parametrize("name", ["config.json", "manifest.json"])
def test_altered_json_is_said(stopped, name):
    file = stopped / name
    text = file.read_text()
    file.write_text(text.replace('"epochs": 3', '"epochs": 4').replace('"threads": ', '"threads": 1'))
    assert file.read_text() != text
    assert "altered since it was written" in refusal(lambda: run(TINY, stopped))
    assert "altered since it was written" in refusal(lambda: show_run(stopped))


@pytest.mark.parametrize("value", ['"x"', "null", "2.5", "1e400", "Infinity", "NaN", "[]", "{}", "true",
                                   "9" * 400])  # fmt: skip
@pytest.mark.parametrize("field", ["steps", "lr", "probes", "model", "dropout", "probe_documents", "width"])
def test_a_config_without_checksum_that_holds_anything(tmp_path, field, value):
    values = json.dumps(TINY.to_json() | {field: "HERE"}).replace('"HERE"', value)
    (tmp_path / "config.json").write_text(values)
    try:
        RunFolder(tmp_path).read_config()
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        kinds = {"lr": float, "dropout": bool, "width": int | None, "probes": tuple, "probe_documents": tuple,
                 "steps": int, "model": str}  # fmt: skip
        assert isinstance(getattr(RunFolder(tmp_path).read_config(), field), kinds[field])


@pytest.mark.parametrize(
    "change",
    [{"threads": "x"}, {"tasks": 5}, {"model": []}, {"model": {"parameters": "x"}}, {"versions": None},
     {"tasks": {"names": 5}}, {"git_commit": 3}, {"diverged": "x"}],
)  # fmt: skip
def test_a_manifest_without_checksum_that_holds_anything(stopped, change):
    file = stopped / "manifest.json"
    values = json.loads(file.read_text())
    del values["checksum"]
    file.write_text(json.dumps(values | change))
    for action in (lambda: run(TINY, stopped), lambda: show_run(stopped), lambda: show_any(stopped.parent)):
        assert "manifest.json" in refusal(action)
    del values["tasks"]
    file.write_text(json.dumps(values))
    assert "documents" in refusal(lambda: run(TINY, stopped))
    show_run(stopped)


def test_folders_without_checksums_still_load(whole, tmp_path):
    for name in ("config.json", "manifest.json"):
        values = json.loads((whole.path / name).read_text())
        del values["checksum"]
        (tmp_path / name).write_text(json.dumps(values))
    losses = whole.losses
    np.savez(tmp_path / "losses.npz", losses=losses.values, order=losses.order,
             meta=np.array(json.dumps(losses.meta)))  # fmt: skip
    (tmp_path / "probes").mkdir()
    np.savez(tmp_path / "probes" / "residuals.npz", **whole.probe("residuals"))
    assert same(llm.Run.load(tmp_path), whole)
    assert same(run(TINY, tmp_path), whole)


def test_weights_carry_checksums(tmp_path):
    out = tmp_path / "run"
    run(TINY, out, keep_weights=True)
    for place in (0.001, 0.2, 0.9):
        before = (out / "weights.safetensors").read_bytes()
        flip(out / "weights.safetensors", place)
        assert "is damaged" in refusal(lambda: RunFolder(out).load_weights())
        (out / "weights.safetensors").write_bytes(before)
    assert RunFolder(out).load_weights()


def test_a_run_that_diverged_says_so_ever_after(tmp_path):
    config = dataclasses.replace(TINY, lr=1e6, steps=5, probes=())
    first = refusal(lambda: run(config, tmp_path / "run"))
    assert "no longer finite after episode" in first
    assert "lr=300000.0" in first
    assert refusal(lambda: run(config, tmp_path / "run")) == first  # at once: nothing is trained again
    text = show_run(tmp_path / "run")
    assert "state     diverged" in text
    assert "the same command" not in text
    run(dataclasses.replace(config, lr=0.01), tmp_path / "other")
    assert "diverged after" in show_any(tmp_path)


@pytest.mark.parametrize(("name", "value"), [("steps", None), ("lr", 10**400), ("epochs", float("inf")),
                                             ("later", 1), ("probes", 5)])  # fmt: skip
def test_a_configuration_that_is_none_is_named_by_its_file(whole, tmp_path, name, value):
    values = whole.config.to_json() | {name: value}
    (tmp_path / "config.json").write_text(json.dumps(values))
    said = refusal(RunFolder(tmp_path).read_config)
    assert "config.json' is no configuration" in said
    assert name in said
    assert "copy " in said


@pytest.mark.parametrize(("name", "value"), [("finished", 5), ("started", {}), ("device", [1]), ("tasks", 3)])
def test_a_manifest_that_is_none(tmp_path, name, value):
    (tmp_path / "manifest.json").write_text(json.dumps({name: value}))
    assert f"manifest.json' has {name}" in refusal(RunFolder(tmp_path).read_manifest)


def test_a_run_killed_at_its_very_end_leaves_nothing(whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole.path, out)
    before = sorted(p.name for p in out.iterdir())
    for left in (".lock", ".losses.npz.abcd1234.tmp"):
        (out / left).write_text("")
        run(TINY, out)
        assert sorted(p.name for p in out.iterdir()) == before


@pytest.mark.parametrize("name", ["checkpoint", "probes", "log.jsonl", "checkpoint/trajectories"])
def test_nothing_is_written_through_a_link(stopped, tmp_path, name):
    mine = tmp_path / "mine"
    (stopped / "probes").mkdir()
    os.rename(stopped / name, mine)
    (stopped / name).symlink_to(mine)
    before = sorted((p, p.stat().st_mtime_ns) for p in mine.rglob("*"))
    assert "is a link" in refusal(lambda: run(TINY, stopped))
    assert sorted((p, p.stat().st_mtime_ns) for p in mine.rglob("*")) == before


def _run_in_process(out, barrier, results):
    barrier.wait()
    try:
        results.put(run(TINY, out).losses.values)
    except InputError as error:
        results.put(str(error))


def test_two_processes_on_one_folder(tmp_path, whole):
    context = multiprocessing.get_context("forkserver")
    barrier, results = context.Barrier(2), context.Queue()
    both = [
        context.Process(target=_run_in_process, args=(tmp_path / "run", barrier, results)) for _ in range(2)
    ]
    for process in both:
        process.start()
    found = [results.get(timeout=120) for _ in both]
    for process in both:
        process.join()
    refused = [words for words in found if isinstance(words, str)]
    assert len(refused) <= 1
    assert all("another process" in words for words in refused)
    assert all(np.array_equal(f, whole.losses.values) for f in found if not isinstance(f, str))
    assert len(RunFolder(tmp_path / "run").read_log()) == 9


def test_a_held_folder_is_refused_at_once(tmp_path, stopped):
    with lock(stopped):
        before = sorted(p.name for p in stopped.iterdir())
        assert "another process" in refusal(lambda: run(TINY, stopped))
        assert sorted(p.name for p in stopped.iterdir()) == before


def test_what_is_no_configuration():
    assert "RunConfig" in refusal(lambda: run({}, "nowhere"))


def test_a_probe_that_is_not_there(whole):
    assert "expected one of residuals" in refusal(lambda: whole.probe("gradients"))
