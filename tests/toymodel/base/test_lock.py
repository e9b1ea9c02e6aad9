"""One process at a time in a folder."""

import multiprocessing
import os
import signal

import pytest

from toymodel import InputError
from toymodel.base.lock import lock


def _hold(folder, ready):
    with lock(folder):
        ready.set()
        signal.pause()


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder ``held``."""
    context = multiprocessing.get_context("forkserver")
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "held", ready))
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


def test_a_second_process_is_told(tmp_path, holder):
    folder = tmp_path / "held"
    with (
        pytest.raises(InputError, match=rf"another process \({holder.pid} on .*held") as refusal,
        lock(folder),
    ):
        pass
    assert "\n" not in str(refusal.value)
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert (folder / ".lock").exists()  # stale: seen through
    with lock(folder):
        pass
    assert list(folder.glob("*")) == []


def test_twice_in_one_process(tmp_path):
    with lock(tmp_path / "a"), pytest.raises(InputError, match="another process"), lock(tmp_path / "a"):
        pass


def test_leftovers_go_and_an_empty_folder_too(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    old.mkdir()
    (old / ".config.json.abcdefgh.tmp").touch()
    for folder in (new, old):
        with lock(folder):
            assert [p.name for p in folder.iterdir()] == [".lock"]
    assert not new.exists()
    assert list(old.iterdir()) == []


def test_a_folder_without_locks(tmp_path, monkeypatch, capsys):
    """A file system that has no flock: a file stands in for it, and this is said."""
    import errno
    import fcntl

    def none(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    with lock(tmp_path / "a"):
        assert "has no locks" in capsys.readouterr().err
        with pytest.raises(InputError, match="another process"), lock(tmp_path / "a"):
            pass
    with lock(tmp_path / "a"):
        pass
