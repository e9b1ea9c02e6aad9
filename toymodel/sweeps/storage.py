"""A sweep on disk: finished, one NetCDF file; until then, the parts it is made of.

``s.nc.parts/`` holds blocks of points as they were computed, each with its checksum and the fingerprint of
its sweep, so that a part that is damaged is a part that is not there: it is computed again. ``s.nc`` ends in
a checksum of the whole file; HDF5 takes no notice of what follows its own end.
"""

from __future__ import annotations

import contextlib
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toymodel.base.arrays import load_arrays, save_arrays
from toymodel.base.checksum import Damaged, is_sealed, seal
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_path, check_output, check_suffix, contents, remove_leftovers
from toymodel.base.json_file import read_json, write_json
from toymodel.base.lock import lock
from toymodel.base.words import arg, one_line

if TYPE_CHECKING:
    import xarray

__all__ = ["Storage"]

Floats = NDArray[np.float64]

_PART = re.compile(r"(\d{12,})-(\d{12,})\.npz")
_MARK = "sweep.json"


class Storage:
    """Where one sweep is kept.

    Args:
        target: the NetCDF file.
        fingerprint: of the sweep; changes whenever its results could.

    Raises:
        InputError: for a name that says something else.
    """

    def __init__(self, target: Path, fingerprint: str) -> None:
        self.target = target
        self.parts = Path(f"{target}.parts")
        self._fingerprint = fingerprint
        check_suffix(target, (".nc", ".nc4", ".h5"))

    def finished(self) -> xarray.Dataset | None:
        """The finished sweep, None where there is none.

        Raises:
            InputError: for a damaged file, or one of another sweep.
        """
        if not self.target.exists():
            return None
        import xarray

        try:
            # HDF5 may read damaged bytes for ever: it gets none that are not as they were written.
            with self.target.open("rb") as file:
                if not is_sealed(file):
                    raise Damaged("its end, with the checksum, is missing")
            with _quietly():
                data = xarray.load_dataset(self.target, engine="h5netcdf")
        except Exception as error:  # whatever a damaged file makes HDF5 raise
            reason = one_line(error)
            raise InputError(
                f"{str(self.target)!r} cannot be read as a finished sweep ({reason})",
                expected="the NetCDF file as it was written",
                fix=f"mv {self.target} {self.target}.damaged and compute it again with the same command",
            ) from error
        if data.attrs.get("fingerprint") != self._fingerprint:
            raise self._another(self.target)
        return data

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Hold the folder of parts, which must be new, empty, or of this sweep.

        Raises:
            InputError: when it is anything else, another process works on it, or the file in the end could
                not be written.
        """
        check_output(self.target)
        if self.parts.exists() and (not self.parts.is_dir() or self.parts.is_symlink()):
            raise self._another(self.parts)
        with lock(self.parts):
            mark = self.parts / _MARK
            if not mark.exists() and any(not _PART.fullmatch(path.name) for path in contents(self.parts)):
                raise self._another(self.parts)
            if mark.exists() and self._marked(mark) not in (self._fingerprint, None):
                raise self._another(self.parts)
            write_json(mark, {"fingerprint": self._fingerprint})
            remove_leftovers(self.target.parent, of=self.target.name)
            yield
        with contextlib.suppress(OSError):
            self.parts.rmdir()  # only if it is empty

    def restore(self, arrays: dict[str, Floats]) -> list[tuple[int, int]]:
        """Fill in what a stopped sweep left; the ranges of points that are still to be computed."""
        points = len(next(iter(arrays.values())))
        missing, done = [], 0
        for start, stop, path in sorted(self._found()):
            if not done <= start < stop <= points or not self._read(path, arrays, start, stop):
                continue
            if start > done:
                missing.append((done, start))
            done = stop
        return missing + ([(done, points)] if done < points else [])

    def keep(self, arrays: dict[str, Floats], start: int, stop: int) -> None:
        """Write the points start..stop."""
        content = {name: a[start:stop] for name, a in arrays.items()}
        mark = {"fingerprint": np.array(self._fingerprint)}
        save_arrays(self.parts / f"{start:012d}-{stop:012d}.npz", mark | content)

    def finish(self, data: xarray.Dataset) -> None:
        """Write the finished sweep and drop the parts."""
        # Through memory: HDF5 ends the process where a disk is full.
        content = data.to_netcdf(engine="h5netcdf")
        with atomic_path(self.target) as temporary:
            temporary.write_bytes(content)
            seal(temporary)

    def tidy(self) -> None:
        """Drop the parts, and nothing else that may be in their folder; only where it is held."""
        for _, _, path in self._found():
            path.unlink(missing_ok=True)
        (self.parts / _MARK).unlink(missing_ok=True)

    def clear(self) -> None:
        """Drop what a sweep left that was killed when it had finished, unless somebody works on it."""
        if self.parts.is_dir():
            with contextlib.suppress(InputError, OSError), self.open():
                self.tidy()

    def _found(self) -> Iterator[tuple[int, int, Path]]:
        for path in contents(self.parts):
            if match := _PART.fullmatch(path.name):
                yield int(match[1]), int(match[2]), path

    def _marked(self, mark: Path) -> str | None:
        """Whose parts these are; None where that is damaged: every part says it too."""
        try:
            return str(read_json(mark, fix="").get("fingerprint"))
        except InputError:
            return None

    def _read(self, path: Path, arrays: dict[str, Floats], start: int, stop: int) -> bool:
        """Take over one part; False where it is damaged or was written without a checksum."""
        try:
            content = load_arrays(path)
        except InputError:
            return False
        if not content.sealed:
            return False
        if str(content.get("fingerprint")) != self._fingerprint:
            raise self._another(self.parts)
        if any(
            name not in content or content[name].shape != a[start:stop].shape for name, a in arrays.items()
        ):
            return False
        for name, a in arrays.items():
            a[start:stop] = content[name]
        return True

    def _another(self, path: Path) -> InputError:
        return InputError(f"{str(path)!r} holds another sweep, or something else",
                          expected="a sweep of the same settings, or nothing",
                          fix=arg("out", self.target.with_stem(self.target.stem + '-2')))  # fmt: skip


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """What h5netcdf leaves of a file it could not open prints a traceback of its own when it is collected."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    except Exception as error:
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        sys.unraisablehook = hook
