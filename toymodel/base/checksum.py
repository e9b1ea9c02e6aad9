"""Checksums of what is stored: XXH3 of 128 bits, 10 times as fast as SHA-256 and 5 times as CRC-32.

They find what a disk, a copy or an editor changed, not what somebody forged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

__all__ = [
    "DIGEST_SIZE",
    "Damaged",
    "checksum",
    "ends_in_digest",
    "hasher",
    "is_sealed",
    "last_digest",
    "seal",
]

_NAME = "xxh3-128"
_SEAL = f"\nreawaken checksum {_NAME} ".encode()
_SEAL_SIZE = len(_SEAL) + 32 + 1
_ZIP_END = 22  # bytes of a zip archive's last record, the length of its comment being the last two
_CHUNK = 1 << 20

DIGEST_SIZE = 16
"""Bytes of the checksum that follows raw numbers in a file (`ends_in_digest`)."""


class Damaged(ValueError):
    """Something stored is not as it was written."""


def hasher() -> Any:
    """A fresh XXH3-128 state: ``update(buffer)``, ``digest()`` of 16 bytes, ``hexdigest()``."""
    from xxhash import xxh3_128

    return xxh3_128()


def checksum(parts: Iterable[Any]) -> str:
    """Of buffers (or text, as UTF-8), each with its length, so that nothing can move from one to the next."""
    state = hasher()
    for part in parts:
        buffer = part.encode() if isinstance(part, str) else memoryview(part).cast("B")
        state.update(len(buffer).to_bytes(8, "little"))
        state.update(buffer)
    return f"{_NAME}:{state.hexdigest()}"


def seal(path: str | os.PathLike[str], *, archive: bool = False) -> None:
    """Append a line that holds the checksum of all bytes before it.

    Args:
        path: a file in a format that lets anything follow (HDF5), or a zip archive.
        archive: a zip archive: the line becomes its comment.
    """
    with Path(path).open("r+b") as file:
        if archive:
            file.seek(-2, os.SEEK_END)
            file.write(_SEAL_SIZE.to_bytes(2, "little"))
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        line = _SEAL + _digest(file, size) + b"\n"
        file.seek(0, os.SEEK_END)
        file.write(line)


def is_sealed(file: IO[bytes]) -> bool:
    """Whether the open file ends in a checksum, which then agrees; rewinds the file.

    Raises:
        Damaged: when it does not agree.
    """
    size = max(file.seek(0, os.SEEK_END) - _SEAL_SIZE, 0)
    file.seek(size)
    line = file.read()
    file.seek(0)
    if not line.startswith(_SEAL):
        return False
    if line != _SEAL + _digest(file, size) + b"\n":
        raise Damaged("its checksum does not agree")
    file.seek(0)
    return True


def last_digest(path: str | os.PathLike[str]) -> str:
    """The checksum that a file of raw numbers ends in, as hexadecimal digits, unchecked."""
    with Path(path).open("rb") as file:
        file.seek(-min(DIGEST_SIZE, file.seek(0, os.SEEK_END)), os.SEEK_END)
        return file.read().hex()


def ends_in_digest(path: str | os.PathLike[str]) -> bool:
    """Whether a file ends in the checksum of all bytes before it."""
    with Path(path).open("rb") as file:
        size = max(file.seek(0, os.SEEK_END) - DIGEST_SIZE, 0)
        file.seek(0)
        return _digest(file, size) == bytes(file.read().hex(), "ascii")


def _digest(file: IO[bytes], size: int) -> bytes:
    """Of the next `size` bytes, as hexadecimal digits."""
    state = hasher()
    while size > 0 and (chunk := file.read(min(size, _CHUNK))):
        state.update(chunk)
        size -= len(chunk)
    return bytes(state.hexdigest(), "ascii")
