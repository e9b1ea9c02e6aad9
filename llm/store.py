"""The run folder: everything a run leaves on disk, and how it resumes.

``config.json``, ``manifest.json``, ``log.jsonl``; ``checkpoint/`` while unfinished; ``losses.npz`` when done,
and only then. Every file appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm.config import RunConfig
from toymodel.errors import InputError
from toymodel.files import atomic_write
from toymodel.losses import LossMatrix

if TYPE_CHECKING:
    import torch

__all__ = ["Checkpoint", "RunFolder"]


@dataclass
class Checkpoint:
    """A run as it stood after some episode.

    Attributes:
        episode: episodes finished.
        rows: loss rows so far, float64, shape ``(1 + episode, T)``.
        parameters: the model's tensors by name.
        optimizer: the optimizer's state tensors, ``index.key``; empty where it is reset per episode.
    """

    episode: int
    rows: np.ndarray
    parameters: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]


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

    def open(self, config: RunConfig) -> None:
        """Claim the folder for this configuration, or check that it already belongs to it.

        Raises:
            InputError: when another configuration, or something that is no run, is there.
        """
        file = self.path / "config.json"
        if file.is_file():
            found = self.read_config()
            if found != config:
                raise InputError(
                    f"run folder {str(self.path)!r} was made by another configuration "
                    f"({'; '.join(config.differences(found))})",
                    expected="the same configuration, to resume or to reuse it",
                    fix="choose another folder, or remove this one",
                )
            return
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise InputError(
                f"{str(self.path)!r} exists and is no run folder",
                expected="a new or empty folder, or a run of the same configuration",
                fix=f"--out {self.path}-run",
            )
        self._write_json("config.json", config.to_json())

    def read_config(self) -> RunConfig:
        """The configuration that made this folder."""
        return RunConfig.from_json(self._read_json("config.json"))

    def read_manifest(self) -> dict[str, Any]:
        """Versions, device, hashes and times; empty before the first episode."""
        return self._read_json("manifest.json") if (self.path / "manifest.json").is_file() else {}

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Replace ``manifest.json``."""
        self._write_json("manifest.json", manifest)

    def save(self, checkpoint: Checkpoint) -> float:
        """Write a checkpoint, keeping the one before it; seconds it took."""
        import torch
        from safetensors.torch import save

        started = time.monotonic()
        tensors = {f"model/{k}": v.detach().cpu().contiguous() for k, v in checkpoint.parameters.items()}
        tensors |= {f"optimizer/{k}": v.detach().cpu().contiguous() for k, v in checkpoint.optimizer.items()}
        tensors["losses"] = torch.from_numpy(checkpoint.rows)
        newest = self._checkpoints()[0]
        if newest.is_file():
            os.replace(newest, self._checkpoints()[1])
        with atomic_write(newest) as file:
            file.write(save(tensors, metadata={"episode": str(checkpoint.episode)}))
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
                    episode = int(stored.metadata()["episode"])
            except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
                damaged = f"checkpoint {file.name} is damaged ({error}); "
                continue
            parts: dict[str, dict[str, Any]] = {"model": {}, "optimizer": {}}
            for key, tensor in tensors.items():
                if "/" in key:
                    part, name = key.split("/", 1)
                    parts[part][name] = tensor
            rows = tensors["losses"].numpy()
            note = damaged and f"{damaged}going on from the one before, after episode {episode}"
            return Checkpoint(episode, rows, parts["model"], parts["optimizer"]), note
        return None, damaged and f"{damaged}starting from the beginning"

    def log(self, record: dict[str, Any]) -> None:
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

    def finish(self, losses: LossMatrix) -> None:
        """Write the loss matrix, which marks the run as finished, and drop the checkpoints."""
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
