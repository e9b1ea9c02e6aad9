"""Files that appear whole, and places that cannot be written to."""

import os
import socket

import pytest

from toymodel import InputError
from toymodel.base.files import (
    atomic_path,
    atomic_write,
    check_output,
    check_output_folder,
    contents,
    remove_leftovers,
)


def irregular(folder):
    """One of each kind of thing that a rename would replace."""
    os.mkfifo(folder / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "socket"))
    listening.close()
    (folder / "folder").mkdir()
    (folder / "to-null").symlink_to("/dev/null")
    return [folder / name for name in ("pipe", "socket", "folder", "to-null")] + ["/dev/null", "/dev/full"]


def test_nothing_but_regular_files_is_replaced(tmp_path):
    for path in irregular(tmp_path):
        before = os.lstat(path)
        for check in (check_output, lambda p: atomic_write(p).__enter__()):
            with pytest.raises(InputError, match="regular file") as refusal:
                check(path)
            assert "\n" not in str(refusal.value)
        after = os.lstat(path)
        assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "pipe", "socket", "to-null"]


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with atomic_write(tmp_path / "link", "w") as file:
        file.write("new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "link").read_text() == "new"


def test_a_full_disk_says_what_it_has_no_room_for(tmp_path):
    with (
        pytest.raises(OSError, match="No space left on device: .*losses.npz"),
        atomic_write(tmp_path / "losses.npz"),
    ):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_older_file_stays_when_writing_fails(tmp_path, error):
    file = tmp_path / "a"
    file.write_text("old")
    context = atomic_path(file)
    context.__enter__().write_text("ne")
    assert not context.__exit__(type(error), error, None)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_permissions_are_those_of_open(tmp_path):
    with atomic_write(tmp_path / "a") as file:
        file.write(b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_leftovers_count_as_nothing_and_go(tmp_path):
    names = [".config.json.abcd_123.tmp", ".lock", "mine.tmp", ".mine.tmp", "config.json"]
    for name in names:
        (tmp_path / name).touch()
    assert [p.name for p in contents(tmp_path)] == [".mine.tmp", "config.json", "mine.tmp"]
    remove_leftovers(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", ".mine.tmp", "config.json", "mine.tmp"]


def test_what_atomic_write_leaves_when_killed_is_a_leftover(tmp_path):
    context = atomic_write(tmp_path / "config.json")
    file = context.__enter__()
    file.write(b"x")
    assert contents(tmp_path) == []
    context.__exit__(None, None, None)
    assert [p.name for p in contents(tmp_path)] == ["config.json"]


def unwritable(folder):
    (folder / "file").touch()
    return [folder / "file" / "x", folder / ("n" * 300), "/proc/nothing/x", folder / "nul\0name"]


@pytest.mark.parametrize("check", [check_output, check_output_folder])
def test_what_cannot_be_written_is_found_first(tmp_path, check):
    for path in unwritable(tmp_path):
        with pytest.raises(InputError, match=r"^out='.*expected.*Fix: out='") as refusal:
            check(path)
        assert "\n" not in str(refusal.value)
    for path in (tmp_path / "new", tmp_path / "deep" / "er" / "new"):
        check(path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_name_says_what_is_in_the_file(tmp_path):
    with pytest.raises(InputError, match=r"x\.csv.*ends in \.npz.*out='.*x\.npz'$"):
        check_output(tmp_path / "x.csv", suffixes=(".npz",))
    check_output(tmp_path / "x.NPZ", suffixes=(".npz",))


def test_a_name_with_line_breaks_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError) as refusal:
        check_output(tmp_path / "a\nb\r.csv", suffixes=(".npz",))
    assert len(str(refusal.value).splitlines()) == 1
