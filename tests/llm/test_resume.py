"""A run that is stopped, in whatever way, goes on to the same numbers, bit for bit."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import llm.store
import llm.training
from llm import RunConfig, run
from toymodel import InputError, LossMatrix

TINY = RunConfig(
    model="embedded", width=32, depth=2, heads=2, feed_forward=64, context=16, num_documents=4, steps=3,
    epochs=4, optimizer="adam", lr=1e-3, seed=5, device="cpu",
)  # fmt: skip
ROOT = Path(__file__).parents[2]
# Each episode waits a moment, so that a signal meets the run wherever it happens to be, and is saved at once.
CHILD = """
import json, sys, time
import llm, llm.store, llm.training
llm.training._SAVE_EVERY = 0
pause, log = float(sys.argv[3]), llm.store.RunFolder.log
llm.store.RunFolder.log = lambda self, record: (log(self, record), time.sleep(pause))
llm.run(llm.RunConfig.from_json(json.loads(sys.argv[1])), sys.argv[2])
"""


def start(config, out, pause):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(config.to_json()), str(out), str(pause)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def episodes_logged(out):
    log = out / "log.jsonl"
    return len(log.read_text().splitlines()) if log.is_file() else 0


def wait_for(child, out, episodes):
    limit = time.monotonic() + 120
    while episodes_logged(out) < episodes:
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < limit, "the run does not get on"
        time.sleep(0.005)


def finish(config, out):
    child = start(config, out, 0)
    errors = child.communicate(timeout=120)[1]
    assert child.returncode == 0, errors
    return LossMatrix.load(out), errors


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
        child = start(config, out, 0.05)
        wait_for(child, out, episodes)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert not (out / "losses.npz").exists()
        assert (out / "checkpoint").is_dir()
        child.stderr.close()
    losses, _ = finish(config, out)
    assert np.array_equal(losses.values, expected)
    logged = [json.loads(line)["episode"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert logged == list(range(1, losses.episodes + 1))
    assert not (out / "checkpoint").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(tmp_path, whole, number):
    config, expected = whole[True]
    out = tmp_path / "run"
    child = start(config, out, 0.05)
    wait_for(child, out, 2)
    child.send_signal(number)
    errors = child.communicate(timeout=60)[1]
    assert child.returncode != 0
    assert "goes on from there" in errors
    done = episodes_logged(out)
    assert 2 <= done < expected.shape[0] - 1
    losses, errors = finish(config, out)
    assert np.array_equal(losses.values, expected)


def test_full_disk_leaves_a_resumable_run(tmp_path, whole, monkeypatch):
    config, expected = whole[True]
    out = tmp_path / "run"
    save, saved = llm.store.RunFolder.save, []

    def full(self, checkpoint):
        if len(saved) == 2:
            raise OSError(28, "No space left on device")
        saved.append(checkpoint.episode)
        return save(self, checkpoint)

    monkeypatch.setattr(llm.store.RunFolder, "save", full)
    monkeypatch.setattr(llm.training, "_SAVE_EVERY", 0)
    with pytest.raises(OSError, match="No space left"):
        run(config, out)
    monkeypatch.undo()
    assert not (out / "losses.npz").exists()
    # In its own process: one thread, as the run to compare with.
    assert np.array_equal(finish(config, out)[0].values, expected)


def test_damaged_checkpoint_falls_back_to_the_previous(tmp_path, whole):
    config, expected = whole[True]
    out = tmp_path / "run"
    child = start(config, out, 0.05)
    wait_for(child, out, 6)
    child.kill()
    child.communicate()
    files = sorted((out / "checkpoint").iterdir(), key=lambda f: f.stat().st_mtime)
    assert len(files) == 2
    newest = files[-1]
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
