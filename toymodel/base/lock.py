"""One process at a time in a folder.

The system's own lock (``flock``) on the file ``.lock``: it ends with the process that holds it, however that
ends, so that a stale file means nothing. Where a file system has none (some network disks), a file that
exists while somebody works takes its place, and this is said.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from toymodel.base.errors import InputError
from toymodel.base.files import LOCK_NAME, remove_leftovers

__all__ = ["Held", "lock", "refuse_if_held"]


class Held(InputError):
    """Another process is working in a folder."""


@contextlib.contextmanager
def lock(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a folder (made if it does not exist) and clear it of what a killed process did not finish.

    The lock's file goes when the block ends; a folder that was made here and is empty by then goes too.

    Raises:
        Held: while another process holds it.
    """
    from filelock import FileLock, SoftFileLock, Timeout

    where = Path(folder)
    made = not where.exists()
    where.mkdir(parents=True, exist_ok=True)
    file = where / LOCK_NAME
    held = FileLock(file, timeout=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            held.acquire()
    except Timeout:
        raise Held(
            f"another process{_owner(file)} is working in {str(where)!r}",
            expected="one process at a time in a folder",
            fix="wait until it has finished, stop it, or choose another folder",
        ) from None
    try:
        if isinstance(held, SoftFileLock):
            print(
                f"reawaken: the file system of {str(where)!r} has no locks; a file {LOCK_NAME} stands in "
                "for one (remove it if a killed process of another machine left it)",
                file=sys.stderr,
            )
        else:
            file.write_text(f"{os.getpid()} {socket.gethostname()}\n", encoding="utf-8")
        remove_leftovers(where)
        yield
    finally:
        if not isinstance(held, SoftFileLock):
            # Removed while held: whoever opened it before finds that it has lost its name, and tries anew.
            file.unlink(missing_ok=True)
        held.release()
        if made:
            with contextlib.suppress(OSError):
                where.rmdir()  # only if it is empty: nothing came of it


def refuse_if_held(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder that another process holds at this moment; leaves nothing behind.

    Raises:
        Held: while another process holds it.
    """
    if (Path(folder) / LOCK_NAME).exists():
        with lock(folder):
            pass


def _owner(file: Path) -> str:
    try:
        number, host = file.read_text(encoding="utf-8").split()[:2]
        return f" ({int(number)} on {host})"
    except (OSError, ValueError):
        return ""
