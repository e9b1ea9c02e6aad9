"""Vectors through training, kept on disk, and their Gram matrix in bounded memory.

Cosines, distances, window residuals and principal components of a trajectory are all functions of its Gram
matrix, which is small: states by states. The vectors themselves may be large (the output layer of Pythia-1B
is 412 MB, 31 GB over 76 states), so each goes to a file of its own as it comes, and the Gram matrix is summed
over slices of the files. In memory are one vector at most (while it is written, a parameter at a time) and a
slice of every vector: `BUDGET` bytes, 0.5 GB, for trajectories of any size.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toymodel.base.checksum import DIGEST_SIZE, hasher, last_digest
from toymodel.base.errors import InputError
from toymodel.base.words import arg

if TYPE_CHECKING:
    import torch

__all__ = ["BUDGET", "Trajectory", "principal_components", "window_residuals"]

BUDGET = 512 << 20
"""Bytes of host memory that a Gram matrix takes while it is summed (and again on the device)."""


class Trajectory:
    """Float32 vectors of one length on disk, one file per state, each followed by its checksum.

    The files live in the run's checkpoint folder: they are part of what an unfinished run needs, and go with
    it when the run is finished. `sync` makes them durable and is called when a checkpoint is written, so that
    a checkpoint never knows of a state that a power cut could still take away.

    Args:
        folder: where the files are; made by the first `write`.
        size: entries of each vector.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size
        self._unsynced: list[Path] = []

    def check_disk(self, states: int) -> None:
        """Refuse before training what will not fit.

        Args:
            states: number of vectors in the end.

        Raises:
            InputError: when the folder's disk lacks the space for those that are not there yet.
        """
        there = sum(file.stat().st_size for file in self.folder.glob("*.f32"))
        need = states * (self.size * 4 + DIGEST_SIZE) - there
        existing = next(p for p in (self.folder, *self.folder.absolute().parents) if p.exists())
        free = shutil.disk_usage(existing).free
        if need > free:
            raise InputError(
                f"{states} states of {self.size * 4 / 1e9:.3g} GB each need {need / 1e9:.3g} GB more disk, "
                f"and {str(existing)!r} has {free / 1e9:.3g} GB free",
                expected="a disk that holds the trajectory until the run is finished",
                fix="another folder on a larger disk, fewer epochs, or a smaller layer: "
                + arg("probe_layer", "output"),
            )

    def write(self, state: int, parts: Iterable[torch.Tensor]) -> None:
        """Keep one state, given as tensors in a fixed order; replaces an earlier one of that number."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._file(state)
        with file.open("wb") as out:
            state_so_far = hasher()
            for part in parts:
                data = part.detach().float().cpu().contiguous().numpy().reshape(-1).data.cast("B")
                state_so_far.update(data)
                out.write(data)
            out.write(state_so_far.digest())
        self._unsynced.append(file)

    def sync(self) -> None:
        """Return only when everything written is on the disk."""
        for file in self._unsynced:
            handle = os.open(file, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        self._unsynced.clear()

    def check(self, states: int) -> None:
        """Refuse to go on without the first `states` states.

        Raises:
            InputError: when one of them is missing or cut short.
        """
        for state in range(states):
            file = self._file(state)
            if not file.is_file() or file.stat().st_size != self.size * 4 + DIGEST_SIZE:
                raise InputError(
                    f"{str(file)!r}, state {state} of a probe's trajectory, is missing or damaged",
                    expected=f"{self.size * 4 + DIGEST_SIZE} bytes, as the run wrote them",
                    fix="restore the file, or start again in another folder",
                )

    def gram(
        self,
        states: Sequence[int],
        *,
        origin: int | None = None,
        device: str | torch.device = "cpu",
        budget: int = BUDGET,
    ) -> NDArray[np.float64]:
        """Inner products of the states, summed in double precision; shape ``(n, n)``.

        Args:
            states: which.
            origin: a state to subtract from all: what cancels in the end is better never added, and weights
                hardly move compared with their size.
            device: where the products are computed.
            budget: bytes of host memory to stay within.

        Raises:
            InputError: when a state is not as it was written.
        """
        import torch

        if origin is not None:
            states = [*states, origin]
        n = len(states)
        # Per column: float32 as read, float64 once and, while it is converted or shifted, again.
        width = max(1, min(self.size, budget // (20 * n)))
        block = np.empty((n, width), dtype=np.float32)
        total = torch.zeros((n, n), dtype=torch.float64, device=device)
        read = [hasher() for _ in states]
        for first in range(0, self.size, width):
            count = min(width, self.size - first)
            for row, state in enumerate(states):
                part = block[row, :count].data.cast("B")
                _read(self._file(state), part, 4 * first)
                read[row].update(part)
            columns = torch.from_numpy(block[:, :count]).to(device).double()
            if origin is not None:
                columns -= columns[-1].clone()
            total += columns @ columns.T
        for state, found in zip(states, read, strict=True):
            if found.digest().hex() != last_digest(self._file(state)):
                raise _damaged(self._file(state), "does not agree with its checksum")
        gram = total.cpu().numpy()
        return gram if origin is None else gram[:-1, :-1]

    def _file(self, state: int) -> Path:
        return self.folder / f"{state:06d}.f32"


def window_residuals(gram: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Gram matrix of weight residuals (paper eq. 2) from that of the weights.

    ``w_res(t) = w(t) - mean of w over the window of T states that is centred at t``: from t - floor(T/2) on,
    T states in all. At both ends of the trajectory the window is cut to the states there are.

    Args:
        gram: of the weights after each episode, any fixed vector subtracted, shape ``(n, n)``.
        window: T, states per window.
    """
    n = len(gram)
    weights = np.eye(n)
    for t in range(n):
        first = t - window // 2
        inside = slice(max(first, 0), min(first + window, n))
        weights[t, inside] -= 1 / (inside.stop - inside.start)
    return weights @ gram @ weights.T


def principal_components(
    gram: NDArray[np.float64], components: int = 3
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Principal components of vectors from their Gram matrix.

    Args:
        gram: of the vectors, any fixed vector subtracted, shape ``(n, n)``.
        components: how many.

    Returns:
        Coordinates, shape ``(n, components)``, each signed so that its largest entry is positive, and the
        part of the variance that each explains.
    """
    centred = gram - gram.mean(0)
    centred = centred - centred.mean(1)[:, None]
    values, vectors = np.linalg.eigh((centred + centred.T) / 2)
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    kept = min(components, len(gram))
    signs = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(len(gram))])
    coordinates = (vectors * signs * np.sqrt(values))[:, :kept]
    return coordinates, values[:kept] / max(values.sum(), np.finfo(float).tiny)


def _read(file: Path, into: memoryview, offset: int) -> None:
    """Fill a buffer from a place in a file; opened each time, as there may be more files than handles."""
    with file.open("rb", buffering=0) as source:
        source.seek(offset)
        done = 0
        while done < len(into):
            got = source.readinto(into[done:])
            if not got:
                raise _damaged(file, "ends early")
            done += got


def _damaged(file: Path, words: str) -> InputError:
    return InputError(
        f"{str(file)!r}, a state of a probe's trajectory, {words}",
        expected="the file as the run wrote it",
        fix="start the same command again: it goes on from a checkpoint that does not need this file",
    )
