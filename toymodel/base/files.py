"""Files that appear whole or not at all: written beside their place, flushed to disk, then renamed.

A process that is killed leaves at most a hidden file ``.NAME.XXXXXXXX.tmp``, which counts as nothing
(`contents`) and which the next to work in the folder removes (`remove_leftovers`).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from toymodel.base.errors import InputError
from toymodel.base.words import arg

__all__ = [
    "LOCK_NAME",
    "atomic_path",
    "atomic_write",
    "check_output",
    "check_output_folder",
    "check_suffix",
    "contents",
    "kind_of",
    "remove_leftovers",
]

StrPath = str | os.PathLike[str]

_LEFTOVER = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")
LOCK_NAME = ".lock"
"""The file in a folder that `toymodel.base.lock` locks."""


@contextlib.contextmanager
def atomic_path(path: StrPath, older: StrPath | None = None) -> Iterator[Path]:
    """A name to write to, for a file that takes its final name only when the block ends without an error.

    Args:
        path: the final name; its folder is made if it does not exist.
        older: what an older file of that name is called from then on, in place of being replaced.

    Yields:
        The name of an empty file in the same folder. On any exception (disk full and Ctrl-C included)
        nothing is left behind and an older file of the final name stays as it was.

    Raises:
        InputError: where something is there that is no regular file: a rename would replace it.
    """
    final = Path(path)
    _refuse_irregular(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=final.parent, prefix=f".{final.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        os.close(handle)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes files private; give them the permissions that open() would have.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        if older is not None and final.is_file():
            os.replace(final, older)
        os.replace(temporary, final)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(final)  # a full disk does not say what it has no room for
        raise
    _sync_directory(final.parent)


@contextlib.contextmanager
def atomic_write(path: StrPath, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that takes its final name only when the block ends without an error; see `atomic_path`.

    Args:
        path: the final name; its folder is made if it does not exist.
        mode: ``"wb"`` or ``"w"`` (UTF-8 text).
    """
    with (
        atomic_path(path) as temporary,
        temporary.open(mode, encoding=None if "b" in mode else "utf-8") as file,
    ):
        yield file


def contents(folder: StrPath) -> list[Path]:
    """What is in a folder, sorted, without what this module and the lock keep there for themselves."""
    return sorted(
        p for p in Path(folder).iterdir() if p.name != LOCK_NAME and not _LEFTOVER.fullmatch(p.name)
    )


def remove_leftovers(folder: StrPath, of: str = "") -> None:
    """Remove what a killed process did not finish.

    Args:
        folder: where; the caller holds its lock.
        of: only what was to become this name, in a folder of which the caller holds no more than that.
    """
    for path in Path(folder).iterdir():
        ours = _LEFTOVER.fullmatch(path.name) and (not of or path.name[:-13] == f".{of}")
        if ours and path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)


def check_output(path: StrPath, *, suffixes: tuple[str, ...] = (), name: str = "out") -> None:
    """Find out before a computation whether its result can be written; leaves nothing behind.

    Args:
        path: the file that will be written.
        suffixes: what its name may end in, the first being the usual one; anything if empty.
        name: the argument that the path was given as; empty where it was not given, but follows from one.

    Raises:
        InputError: for another suffix, what is no regular file, or a folder that cannot be written to.
    """
    where = Path(path)
    check_suffix(where, suffixes, name=name)
    _refuse_irregular(where, name)
    _try_to_write(where, where.parent, name)


def check_suffix(path: StrPath, suffixes: tuple[str, ...], *, name: str = "out") -> None:
    """Refuse a file name that says something else than what the file would hold."""
    where = Path(path)
    if suffixes and where.suffix.lower() not in suffixes:
        raise InputError(
            arg(name, where) + " would not hold what its name says",
            expected=f"a name that ends in {' or '.join(suffixes)}",
            fix=arg(name, where.with_suffix(suffixes[0]) if where.name else "result" + suffixes[0]),
        )


def check_output_folder(path: StrPath, *, name: str = "out") -> None:
    """Find out before a computation whether a folder can be made and written to; leaves nothing behind.

    Raises:
        InputError: where it cannot.
    """
    where = Path(path)
    if os.path.lexists(where) and not where.is_dir():
        raise InputError(
            arg(name, where) + f" is {kind_of(where)}",
            expected="a folder, or a new name",
            fix=arg(name, f"{where}-out"),
        )
    _try_to_write(where, where, name)


def _try_to_write(path: Path, folder: Path, name: str) -> None:
    try:
        # Whatever a name, a disk or a permission can be at odds with, trying it is the one sure way to know.
        there = next(p for p in (folder, *folder.absolute().parents) if os.path.lexists(p))
        handle, probe = tempfile.mkstemp(dir=there, prefix=f".{path.name[:250]}.", suffix=".tmp")
        os.close(handle)
        os.unlink(probe)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            _said(name, path) + f" cannot be written ({reason})",
            expected="a name in a folder where files can be made",
            fix=_said(name, Path(tempfile.gettempdir()) / (path.name[:60] or "out")),
        ) from error


def _refuse_irregular(path: Path, name: str = "") -> None:
    """Refuse to replace a device, a pipe, a socket or a folder; a link to one counts as one."""
    try:
        regular = not path.exists() or path.is_file()
    except OSError:  # a name that is too long, or lies below a file: writing will say so
        return
    if not regular:
        raise InputError(
            _said(name, path) + f" is {kind_of(path)}",
            expected="a regular file, or a new name",
            fix=_said(name, path.with_name(f"{path.stem}-2{path.suffix}")),
        )


def _said(name: str, path: Path) -> str:
    return arg(name, path) if name else str(path)


def kind_of(path: Path) -> str:
    """What is there, in words: a folder, a file, a pipe, a socket, a device or a link to nothing."""
    kinds = {
        stat.S_ISDIR: "a folder",
        stat.S_ISREG: "a file",
        stat.S_ISFIFO: "a pipe",
        stat.S_ISSOCK: "a socket",
    }
    mode = path.stat().st_mode if path.exists() else path.lstat().st_mode
    return next((words for test, words in kinds.items() if test(mode)),
                "a link to nothing" if stat.S_ISLNK(mode) else "a device")  # fmt: skip


def _sync_directory(folder: Path) -> None:
    """Make a rename durable; platforms that cannot open a folder simply skip it."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
