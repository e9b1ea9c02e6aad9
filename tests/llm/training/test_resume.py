"""A run that is stopped, in whatever way, goes on to the same numbers, bit for bit."""

import dataclasses
import json
import signal

import numpy as np
import pytest

import llm.runs.folder
from llm import RunConfig, run
from llm.training.saving import AfterEpisodes
from tests.llm.stopped import Child, killed_and_whole, logged
from toymodel import InputError, LossMatrix

TINY = RunConfig(
    model="embedded", width=32, depth=2, heads=2, feed_forward=64, context=16, num_documents=4, steps=3,
    epochs=4, optimizer="adam", lr=1e-3, seed=5, device="cpu",
)  # fmt: skip


def finish(config, out):
    child = Child(config, out)
    assert child.join() == 0, child.errors
    return LossMatrix.load(out), child.errors


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same run by a process that nobody stopped, for each treatment of Adam's state."""
    results = {}
    for reset in (True, False):
        config = dataclasses.replace(TINY, reset_optimizer=reset)
        results[reset] = (config, finish(config, tmp_path_factory.mktemp("whole") / "run")[0].values)
    assert not np.array_equal(results[True][1], results[False][1])
    return results


@pytest.mark.parametrize("reset", [True, False])
def test_killed_twice(tmp_path, whole, reset):
    config, expected = whole[reset]
    out = tmp_path / "run"
    for episodes in (3, 8):
        child = Child(config, out, 0.05)
        child.wait_for(episodes)
        assert child.send(signal.SIGKILL) == -signal.SIGKILL
        assert not (out / "losses.npz").exists()
        assert (out / "checkpoint").is_dir()
    losses, _ = finish(config, out)
    assert np.array_equal(losses.values, expected)
    records = [json.loads(line)["episode"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert records == list(range(1, losses.episodes + 1))
    assert not (out / "checkpoint").exists()


@pytest.mark.parametrize("changes", [{"optimizer": "sgd", "lr": 0.05}, {"reset_optimizer": False}], ids=str)
def test_killed_in_the_second_version(tmp_path, changes):
    """Descent in products, or Adam's moments carried on by joint products; weights from streams."""
    losses = killed_and_whole(dataclasses.replace(TINY, version=2, **changes), tmp_path)
    assert np.array_equal(*losses)
    assert np.ptp(losses[0], axis=0).min() > 0


@pytest.mark.parametrize("schedule", ["iid", "reshuffled"])
def test_killed_with_random_data_and_order(tmp_path, schedule):
    config = dataclasses.replace(TINY, schedule=schedule, mask_probability=0.3, window_shift=8)
    expected, _ = finish(config, tmp_path / "whole")
    out = tmp_path / "run"
    child = Child(config, out, 0.05)
    child.wait_for(6)
    child.send(signal.SIGKILL)
    losses, _ = finish(config, out)
    assert np.array_equal(losses.order, expected.order)
    assert np.array_equal(losses.values, expected.values)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(tmp_path, whole, number):
    config, expected = whole[True]
    out = tmp_path / "run"
    child = Child(config, out, 0.05)
    child.wait_for(2)
    assert child.send(number) != 0
    assert "goes on from there" in child.errors
    assert 2 <= logged(out) < expected.shape[0] - 1
    losses, _ = finish(config, out)
    assert np.array_equal(losses.values, expected)


def test_full_disk_leaves_a_resumable_run(tmp_path, whole, monkeypatch):
    config, expected = whole[True]
    out = tmp_path / "run"
    save, saved = llm.runs.folder.RunFolder.save, []

    def full(self, checkpoint):
        if len(saved) == 2:
            raise OSError(28, "No space left on device")
        saved.append(checkpoint.episode)
        return save(self, checkpoint)

    monkeypatch.setattr(llm.runs.folder.RunFolder, "save", full)
    # One thread, as in the run to compare with: the manifest keeps the number for the resumed part.
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    with pytest.raises(OSError, match="No space left"):
        run(config, out, saving=AfterEpisodes(1))
    monkeypatch.undo()
    assert not (out / "losses.npz").exists()
    assert np.array_equal(finish(config, out)[0].values, expected)


def test_damaged_checkpoint_falls_back_to_the_previous(tmp_path, whole):
    config, expected = whole[True]
    out = tmp_path / "run"
    child = Child(config, out, 0.05)
    child.wait_for(6)
    child.send(signal.SIGTERM)
    newest, _ = sorted((out / "checkpoint").iterdir(), key=lambda f: -f.stat().st_mtime)
    newest.write_bytes(newest.read_bytes()[:1000])
    losses, errors = finish(config, out)
    assert "damaged" in errors
    assert np.array_equal(losses.values, expected)


def test_another_configuration_is_refused_by_its_fields(tmp_path, whole):
    config, _ = whole[True]
    out = tmp_path / "run"
    small = dataclasses.replace(config, epochs=1, num_documents=2, steps=1)
    run(small, out)
    before = {f.name: f.read_bytes() for f in out.iterdir() if f.is_file()}
    with pytest.raises(InputError, match=r"lr: 0\.002 against 0\.001"):
        run(dataclasses.replace(small, lr=2e-3), out)
    assert {f.name: f.read_bytes() for f in out.iterdir() if f.is_file()} == before
    again = run(small, out)
    assert again.losses.values.shape == (3, 2)
