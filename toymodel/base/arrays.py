"""Arrays in NumPy's own formats: written with a checksum, read without believing what is not checked."""

from __future__ import annotations

import math
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.checksum import Damaged, is_sealed, seal
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_path
from toymodel.base.memory import refuse_if_too_large
from toymodel.base.words import one_line

__all__ = ["Arrays", "load_arrays", "only_array", "save_arrays"]

_KINDS = "biufcSU"  # what numbers and text are stored as; no objects (pickles), records or raw bytes
_WHOLE = "a whole .npz or .npy file without pickled objects"


class Arrays(dict[str, NDArray[Any]]):
    """Arrays by name, as they were read.

    Attributes:
        sealed: whether a checksum says that they are all that was written, and unchanged.
    """

    sealed = False


def save_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, ArrayLike], *, compress: bool = False
) -> None:
    """Write an ``.npz`` with a checksum of the whole file as the archive's comment; whole or not at all."""
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            write: Any = np.savez_compressed if compress else np.savez
            write(file, **arrays)
        seal(temporary, archive=True)


def only_array(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array of a file that holds one.

    Raises:
        InputError: as `load_arrays`, and for a file that holds several.
    """
    arrays = load_arrays(path)
    if len(arrays) != 1:
        raise InputError(f"{str(path)!r} holds {len(arrays)} arrays: {', '.join(sorted(arrays))[:80]}",
                         expected="one array", fix="numpy.save(path, array)")  # fmt: skip
    (array,) = arrays.values()
    return array


def load_arrays(path: str | os.PathLike[str]) -> Arrays:
    """Read an ``.npz``, or an ``.npy`` under the name ``losses``, from this project or from elsewhere.

    Where there is a checksum it must agree. Whether or not there is one: no pickles, no encrypted members,
    and no memory is asked for before a header agrees with the size of what follows.

    Raises:
        InputError: for whatever is not such a file, is damaged, or does not fit in memory.
    """
    where = Path(path)
    try:
        # Opened here because NumPy leaves the file open when a damaged archive makes it raise.
        with where.open("rb") as file:
            sealed = is_sealed(file)
            start = file.read(6)
            file.seek(0)
            if start == b"\x93NUMPY":
                arrays = Arrays(losses=_read(file, os.fstat(file.fileno()).st_size, where))
            elif start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
                arrays = _unpack(file, where, sealed)
            else:
                raise Damaged("it starts like neither")
    except (InputError, KeyboardInterrupt):
        raise
    except Exception as error:  # whatever a damaged archive makes a parser raise
        reason = one_line(error, kind=True)
        raise InputError(
            f"{str(where)!r} cannot be read as a NumPy file ({reason})",
            expected=_WHOLE,
            fix="it is damaged or of another kind: copy it again or make the run again",
        ) from error
    arrays.sealed = sealed
    return arrays


def _unpack(file: IO[bytes], where: Path, sealed: bool) -> Arrays:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        names = [member.filename.removesuffix(".npy") for member in members]
        if archive.comment and not sealed:
            raise Damaged("its checksum is damaged")
        if len(members) != _counted(file, len(archive.comment)) or len(set(names)) != len(names):
            raise Damaged("its list of members is damaged")
        if any(member.flag_bits & 1 for member in members):
            raise Damaged("it is encrypted")
        arrays = Arrays()
        for name, member in zip(names, members, strict=True):
            with archive.open(member) as stream:
                arrays[name] = _read(stream, member.file_size, where)
                if stream.read(1):  # to the end, where the archive's own checksum is compared
                    raise Damaged(f"{name} has bytes left over")
    return arrays


def _counted(file: IO[bytes], comment: int) -> int:
    """How many members the archive's last record says there are."""
    file.seek(-22 - comment, os.SEEK_END)
    return int(struct.unpack("<4s4H2LH", file.read(22))[4])


def _read(stream: IO[bytes], size: int, where: Path) -> NDArray[Any]:
    """One array, whose header must account for the `size` bytes that the stream has from here on."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise Damaged(f"format version {version}")
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read_header(stream)
    if dtype.kind not in _KINDS or dtype.hasobject:
        raise Damaged(f"entries of type {dtype}: pickled objects and records are not read")
    if any(n < 0 for n in shape):
        raise Damaged(f"a shape {shape}")
    count = math.prod(shape)
    need = count * dtype.itemsize
    if need != size - stream.tell():
        raise Damaged(
            f"shape {shape} of {dtype} takes {need:,} bytes, and {size - stream.tell():,} are there"
        )
    refuse_if_too_large(need, f"an array of shape {shape} in {str(where)!r}", "a machine with more memory")
    data = bytearray(need)
    view, done = memoryview(data), 0
    while done < need:
        got = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not got:
            raise Damaged("it ends early")
        done += got
    flat = np.frombuffer(data, dtype=dtype, count=count) if need else np.empty(count, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")
