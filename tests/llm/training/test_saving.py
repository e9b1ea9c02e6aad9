"""When checkpoints are written, and the thread that writes them."""

import threading

import numpy as np
import pytest
import torch

from llm.runs.folder import Checkpoint, RunFolder
from llm.training.saving import AfterEpisodes, CheckpointWriter, ShareOfTime


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def checkpoint(episode, value):
    return Checkpoint(
        episode, {"losses": np.full((1 + episode, 2), value)}, {"w": torch.full((50, 4), value)}
    )


def test_a_share_of_the_time():
    clock = Clock()
    policy = ShareOfTime(0.05, clock)
    policy.start()
    assert policy.due(1)  # the first at once, so that its cost is known
    clock.now += 1
    assert not policy.due(2)  # it is still being written
    policy.saved(3.0)
    clock.now += 59.9
    assert not policy.due(3)
    clock.now += 0.1
    assert policy.due(4)


def test_after_so_many_episodes():
    policy = AfterEpisodes(3)
    assert [done for done in range(1, 10) if policy.due(done)] == [3, 6, 9]


class Slow(RunFolder):
    """A disk that waits until it is told to go on."""

    def __init__(self, path):
        super().__init__(path)
        self.go = threading.Event()
        self.thread = None

    def save(self, checkpoint):
        self.thread = threading.current_thread()
        assert self.go.wait(30)
        return super().save(checkpoint)


def test_what_is_written_is_the_run_as_it_stood(tmp_path):
    folder, policy = Slow(tmp_path / "run"), ShareOfTime()
    tmp_path.joinpath("run").mkdir()
    writer = CheckpointWriter(folder, policy)
    with writer.closing():
        now = checkpoint(3, 1.0)
        writer.save(now)
        now.weights["w"].fill_(2.0)  # training goes on, the disk is still at it
        now.rows["losses"][:] = 2.0
        folder.go.set()
    assert folder.thread is not threading.main_thread()
    found, note = folder.load()
    assert (found.episode, note) == (3, "")
    assert torch.equal(found.weights["w"], torch.full((50, 4), 1.0))
    np.testing.assert_array_equal(found.rows["losses"], np.full((4, 2), 1.0))


def test_one_is_written_at_a_time_and_the_one_before_is_kept(tmp_path):
    folder = RunFolder(tmp_path / "run")
    tmp_path.joinpath("run").mkdir()
    writer = CheckpointWriter(folder, AfterEpisodes(1))
    with writer.closing():
        for episode in range(1, 6):
            writer.save(checkpoint(episode, float(episode)))
    assert folder.load()[0].episode == 5
    newest = tmp_path / "run" / "checkpoint" / "newest.safetensors"
    newest.write_bytes(newest.read_bytes()[:-7])
    found, note = folder.load()
    assert (found.episode, float(found.weights["w"][0, 0])) == (4, 4.0)
    assert "damaged" in note


def test_a_full_disk_is_said_by_the_next_call_or_at_the_end(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    monkeypatch.setattr(RunFolder, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))

    def write(episodes):
        with CheckpointWriter(folder, AfterEpisodes(1)).closing() as writer:
            for episode in range(1, 1 + episodes):
                writer.save(checkpoint(episode, 1.0))
            reached.append(episodes)

    reached = []
    with pytest.raises(OSError, match="No space left"):
        write(1)
    with pytest.raises(OSError, match="No space left"):
        write(2)
    assert reached == [1]


def test_without_memory_for_a_copy_training_waits(tmp_path, monkeypatch):
    monkeypatch.setattr("llm.training.saving.available_memory", lambda: 1000)
    folder = Slow(tmp_path / "run")
    folder.go.set()
    tmp_path.joinpath("run").mkdir()
    with CheckpointWriter(folder, AfterEpisodes(1)).closing() as writer:
        writer.save(checkpoint(1, 1.0))
        assert folder.thread is threading.main_thread()
    assert folder.load()[0].episode == 1
