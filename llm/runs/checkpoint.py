"""Checkpoints of an unfinished run: the newest two, and the trajectories of probes that they rely on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from llm.runs.tensors import Tensors, load_tensors, save_tensors
from toymodel.base.checksum import Damaged, ends_in_digest, last_digest
from toymodel.base.files import remove_leftovers

__all__ = ["Checkpoint", "Checkpoints"]


@dataclass
class Checkpoint:
    """A run as it stood after some episode.

    Attributes:
        episode: episodes finished.
        rows: loss rows so far by evaluation, float64, each of shape ``(1 + episode, T)``.
        weights: trainable parameters and buffers by name.
        optimizer: the optimizer's state tensors; empty where it is reset per episode.
        probes: state tensors of each probe, by the probe's name.
        trajectories: checksums of the states on the disk that it relies on, by name; None to take all that
            are there when it is written.
    """

    episode: int
    rows: dict[str, np.ndarray]
    weights: Tensors
    optimizer: Tensors = field(default_factory=dict)
    probes: dict[str, Tensors] = field(default_factory=dict)
    trajectories: Mapping[str, str | None] | None = None

    def flat(self) -> Tensors:
        """All tensors under one level of names, as they are stored."""
        import torch

        tensors = {f"rows/{name}": torch.from_numpy(rows) for name, rows in self.rows.items()}
        tensors |= {f"weights/{name}": tensor for name, tensor in self.weights.items()}
        tensors |= {f"optimizer/{name}": tensor for name, tensor in self.optimizer.items()}
        for probe, state in self.probes.items():
            tensors |= {f"probes/{probe}/{name}": tensor for name, tensor in state.items()}
        return tensors

    @classmethod
    def from_flat(cls, episode: int, tensors: Tensors) -> Checkpoint:
        """The inverse of `flat`."""
        parts: dict[str, Tensors] = {"rows": {}, "weights": {}, "optimizer": {}}
        probes: dict[str, Tensors] = {}
        for key, tensor in tensors.items():
            part, name = key.split("/", 1)
            if part == "probes":
                probe, name = name.split("/", 1)
                probes.setdefault(probe, {})[name] = tensor
            else:
                parts[part][name] = tensor
        rows = {name: tensor.numpy() for name, tensor in parts["rows"].items()}
        return cls(episode, rows, parts["weights"], parts["optimizer"], probes)


class Checkpoints:
    """The folder ``checkpoint/`` of a run.

    ``newest.safetensors`` and the one before it, ``previous.safetensors``, each with checksums of all it
    holds and of the states in ``trajectories/`` that it relies on. What does not agree is not used: a run
    goes on from the newest checkpoint of which everything agrees.

    Args:
        folder: made by the first `save`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = (folder / "newest.safetensors", folder / "previous.safetensors")

    def save(self, checkpoint: Checkpoint) -> float:
        """Write a checkpoint, keeping the one before it; seconds it took."""
        started = time.monotonic()
        newest, previous = self._files
        states = self.trajectories() if checkpoint.trajectories is None else checkpoint.trajectories
        about = {"episode": checkpoint.episode, "trajectories": dict(states)}
        save_tensors(newest, checkpoint.flat(), about, older=previous)
        return time.monotonic() - started

    def trajectories(self) -> dict[str, str | None]:
        """Checksums of the states of trajectories on the disk, by name."""
        return {name: last_digest(self.folder / name) for name in self._states()}

    def load(self) -> tuple[Checkpoint | None, str]:
        """The newest checkpoint that is as it was written; where a newer one is not, a line that says so."""
        found, note = self._newest()
        return None if found is None else found.checkpoint, note

    def resume(self) -> tuple[Checkpoint | None, str]:
        """Like `load`, and remove what the run will write again; only for who holds the run folder."""
        found, note = self._newest()
        if self.folder.is_dir():
            remove_leftovers(self.folder)
        for file in self._files:
            if found is not None and file == found.file:
                break
            # A damaged one must not become the `previous` that stands behind the next.
            file.unlink(missing_ok=True)
        relied_on = found.states if found is not None else {}
        for name in set(self._states()) - set(relied_on):
            (self.folder / name).unlink()
        return None if found is None else found.checkpoint, note

    def rows(self) -> np.ndarray | None:
        """Losses up to the newest checkpoint, of which nothing else is read; None without one."""
        for file in self._files:
            try:
                tensors, _ = load_tensors(file, only="rows/losses")
            except (OSError, ValueError):
                continue
            rows: np.ndarray = tensors["rows/losses"].numpy()
            return rows
        return None

    def drop(self) -> None:
        """Remove them, and the trajectories."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _newest(self) -> tuple[_Stored | None, str]:
        damaged = ""
        for file in self._files:
            if not file.is_file():
                continue
            try:
                tensors, about = load_tensors(file)
                checkpoint = Checkpoint.from_flat(int(about["episode"]), tensors)
                # Those of earlier versions had no checksums: whatever is there counts.
                states = about.get("trajectories", dict.fromkeys(self._states()))
                self._check(states)
            except (OSError, KeyError, TypeError, ValueError) as error:
                damaged += f"checkpoint {file.name} is damaged ({error}); "
                continue
            note = damaged and f"{damaged}going on from episode {checkpoint.episode}"
            return _Stored(file, checkpoint, states), note
        return None, damaged and f"{damaged}starting from the beginning"

    def _states(self) -> list[str]:
        """Names of all states of trajectories on the disk."""
        return [file.relative_to(self.folder).as_posix() for file in self.folder.glob("trajectories/*/*.f32")]

    def _check(self, states: Mapping[str, str | None]) -> None:
        for name, digest in states.items():
            file = self.folder / name
            if digest is not None and not (
                file.is_file() and last_digest(file) == digest and ends_in_digest(file)
            ):
                raise Damaged(f"it relies on {name}, which is not as it was written")


@dataclass(frozen=True)
class _Stored:
    """A checkpoint that agrees with all its checksums.

    Attributes:
        file: where it is.
        checkpoint: what it holds.
        states: checksums of the states it relies on, by name.
    """

    file: Path
    checkpoint: Checkpoint
    states: Mapping[str, str | None]
