"""The run folder: everything a run leaves on disk, and how it resumes.

``config.json``, ``manifest.json``, ``log.jsonl``; ``checkpoint/`` while unfinished; ``probes/`` and
``losses.npz`` when done, the latter last. Every file appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm.config import RunConfig
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write
from toymodel.measures.losses import LossMatrix

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

__all__ = ["Checkpoint", "RunFolder"]


@dataclass
class Checkpoint:
    """A run as it stood after some episode.

    Attributes:
        episode: episodes finished.
        rows: loss rows so far by evaluation, float64, each of shape ``(1 + episode, T)``.
        weights: trainable parameters and buffers by name.
        optimizer: the optimizer's state tensors; empty where it is reset per episode.
        probes: state tensors of each probe, by the probe's name.
    """

    episode: int
    rows: dict[str, np.ndarray]
    weights: Tensors
    optimizer: Tensors = field(default_factory=dict)
    probes: dict[str, Tensors] = field(default_factory=dict)

    def flat(self) -> Tensors:
        """All tensors under one level of names, as they are stored."""
        import torch

        tensors = {f"rows/{name}": torch.from_numpy(rows) for name, rows in self.rows.items()}
        tensors |= {f"weights/{name}": tensor for name, tensor in self.weights.items()}
        tensors |= {f"optimizer/{name}": tensor for name, tensor in self.optimizer.items()}
        for probe, state in self.probes.items():
            tensors |= {f"probes/{probe}/{name}": tensor for name, tensor in state.items()}
        return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

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


class RunFolder:
    """One run on disk.

    Args:
        path: the folder; made by the first write.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def finished(self) -> bool:
        """Whether the run has its whole loss matrix."""
        return (self.path / "losses.npz").is_file()

    def check(self, config: RunConfig) -> bool:
        """Whether the folder already belongs to a run of this configuration; False if it is new or empty.

        Raises:
            InputError: when another configuration, or something that is no run, is there.
        """
        if (self.path / "config.json").is_file():
            found = self.read_config()
            if found != config:
                raise InputError(
                    f"run folder {str(self.path)!r} was made by another configuration "
                    f"({'; '.join(config.differences(found))})",
                    expected="the same configuration, to resume or to reuse it",
                    fix="choose another folder, or remove this one",
                )
            return True
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise InputError(
                f"{str(self.path)!r} exists and is no run folder",
                expected="a new or empty folder, or a run of the same configuration",
                fix=f"--out {self.path}-run",
            )
        return False

    def open(self, config: RunConfig) -> None:
        """Claim the folder for this configuration, or `check` that it already belongs to it."""
        if not self.check(config):
            self._write_json("config.json", config.to_json())

    def read_config(self) -> RunConfig:
        """The configuration that made this folder."""
        return RunConfig.from_json(self.read_config_as_written())

    def read_config_as_written(self) -> dict[str, Any]:
        """``config.json`` as it stands: the settings of the version that wrote it."""
        return self._read_json("config.json")

    def read_manifest(self) -> dict[str, Any]:
        """Versions, device, hashes and times; empty before the first episode."""
        return self._read_json("manifest.json") if (self.path / "manifest.json").is_file() else {}

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace ``manifest.json``."""
        self._write_json("manifest.json", dict(manifest))

    def save(self, checkpoint: Checkpoint) -> float:
        """Write a checkpoint, keeping the one before it; seconds it took."""
        from safetensors.torch import save_file

        started = time.monotonic()
        newest, previous = self._checkpoints()
        newest.parent.mkdir(parents=True, exist_ok=True)
        partial = newest.with_suffix(".partial")
        try:
            save_file(checkpoint.flat(), partial, metadata={"episode": str(checkpoint.episode)})
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            if newest.is_file():
                os.replace(newest, previous)
            os.replace(partial, newest)
        finally:
            partial.unlink(missing_ok=True)
        return time.monotonic() - started

    def load(self) -> tuple[Checkpoint | None, str]:
        """The newest readable checkpoint and, where the newest was damaged, a line that says so."""
        from safetensors import SafetensorError, safe_open

        damaged = ""
        for file in self._checkpoints():
            if not file.is_file():
                continue
            try:
                with safe_open(file, framework="pt") as stored:
                    tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
                    checkpoint = Checkpoint.from_flat(int(stored.metadata()["episode"]), tensors)
            except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
                damaged = f"checkpoint {file.name} is damaged ({error}); "
                continue
            return checkpoint, damaged and f"{damaged}going on from episode {checkpoint.episode}"
        return None, damaged and f"{damaged}starting from the beginning"

    def save_weights(self, weights: Tensors) -> None:
        """Keep the trained weights as ``weights.safetensors``."""
        from safetensors.torch import save

        with atomic_write(self.path / "weights.safetensors") as file:
            file.write(save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}))

    def load_weights(self) -> Tensors | None:
        """The trained weights; None where they were not kept."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        file = self.path / "weights.safetensors"
        if not file.is_file():
            return None
        try:
            return load_file(file)
        except SafetensorError as error:
            raise InputError(
                f"{str(file)!r} is damaged ({error})",
                expected="the file as the run wrote it",
                fix="copy it again, or run again with --keep-weights in another folder",
            ) from error

    def saved_rows(self) -> np.ndarray | None:
        """Losses up to the newest readable checkpoint, of which nothing else is read; None without one."""
        from safetensors import SafetensorError, safe_open

        for file in self._checkpoints():
            try:
                with safe_open(file, framework="numpy") as stored:
                    rows: np.ndarray = stored.get_tensor("rows/losses")
                    return rows
            except (SafetensorError, OSError):
                continue
        return None

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to ``log.jsonl``."""
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def rewind_log(self, episode: int) -> None:
        """Drop log lines of episodes that are about to be run again, and a half-written last line."""
        file = self.path / "log.jsonl"
        if not file.is_file():
            return
        kept = []
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["episode"] <= episode:
                    kept.append(line)
            except (ValueError, KeyError):
                continue
        with atomic_write(file, "w") as out:
            out.writelines(line + "\n" for line in kept)

    def write_probe(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write what a probe found as ``probes/NAME.npz``."""
        with atomic_write(self.path / "probes" / f"{name}.npz") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def finish(self, losses: LossMatrix, extra: Mapping[str, LossMatrix]) -> None:
        """Write the loss matrices (``losses.npz`` marks the run as finished) and drop the checkpoints."""
        for name, matrix in extra.items():
            matrix.save(self.path / f"{name}.npz")
        losses.save(self.path / "losses.npz")
        shutil.rmtree(self.path / "checkpoint", ignore_errors=True)

    def _checkpoints(self) -> tuple[Path, Path]:
        folder = self.path / "checkpoint"
        return folder / "newest.safetensors", folder / "previous.safetensors"

    def _write_json(self, name: str, values: dict[str, Any]) -> None:
        with atomic_write(self.path / name, "w") as file:
            json.dump(values, file, indent=2)
            file.write("\n")

    def _read_json(self, name: str) -> dict[str, Any]:
        file = self.path / name
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError("not an object")
        except (OSError, ValueError) as error:
            raise InputError(
                f"{str(file)!r} cannot be read ({error})",
                expected="the JSON object that the run wrote",
                fix=f"the folder is no run or is damaged: remove {self.path} and run again",
            ) from error
        return values
