"""The run folder: everything a run leaves on disk, and how it resumes.

``config.json``, ``manifest.json``, ``log.jsonl``; ``checkpoint/`` while unfinished; ``probes/`` and
``losses.npz`` when done, the latter last. Every file appears whole or not at all, and carries a checksum that
is tested when it is read; files of earlier versions, without one, are read all the same.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llm.config import RunConfig
from llm.ignored import refuse_ignored_settings
from llm.runs import log
from llm.runs.checkpoint import Checkpoint, Checkpoints
from llm.runs.tensors import Tensors, load_tensors, save_tensors
from toymodel.base.arrays import save_arrays
from toymodel.base.errors import InputError
from toymodel.base.files import LOCK_NAME, check_output_folder, contents, remove_leftovers
from toymodel.base.json_file import read_json, write_json
from toymodel.base.lock import lock, refuse_if_held
from toymodel.base.words import arg
from toymodel.measures.losses import LossMatrix

__all__ = ["Checkpoint", "RunFolder", "divergence"]

# What a manifest must hold to be of use, where it holds it at all.
_MANIFEST: dict[str, Any] = {
    "started": str,
    "finished": str,
    "config_id": str,
    "device": str,
    "versions": dict,
    "threads": int,
    "precision": dict,
    "git_commit": (str, type(None)),
    "model": {"parameters": int, "trainable": int, "sha256": str},
    "tasks": {"sha256": str, "names": list, "padded": int},
    "diverged": int,
    "together": int,
    "weights": str,
}


class RunFolder:
    """One run on disk.

    Args:
        path: the folder; made by `claim`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._checkpoints = Checkpoints(self.path / "checkpoint")

    @property
    def finished(self) -> bool:
        """Whether the run has its whole loss matrix."""
        return (self.path / "losses.npz").is_file()

    def check(self, config: RunConfig) -> bool:
        """Whether the folder already belongs to a run of this configuration; False if it is new or empty.

        Raises:
            InputError: when another configuration, or something that is no run, is there; for settings that
                a new run would ignore.
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
        if self.path.exists() and (not self.path.is_dir() or contents(self.path)):
            raise InputError(
                f"{str(self.path)!r} exists and is no run folder",
                expected="a new or empty folder, or a run of the same configuration",
                fix=arg("out", f"{self.path}-run"),
            )
        refuse_ignored_settings(config)
        return False

    def check_ready(self, config: RunConfig) -> None:
        """That training can begin or go on here; leaves nothing behind.

        Raises:
            InputError: when the run has diverged before, the folder could not be written to, or another
                process holds it.
        """
        if (self.path / "config.json").is_file() and (episode := self.diverged) is not None:
            raise divergence(config, episode)
        check_output_folder(self.path)
        refuse_if_held(self.path)

    @contextlib.contextmanager
    def claim(self, config: RunConfig) -> Iterator[None]:
        """Hold the folder, which is new or of this configuration, against every other process.

        Raises:
            InputError: when it is of another, when another process holds it, or when part of it is a link to
                somewhere else.
        """
        with self.hold():
            if not self.check(config):
                write_json(self.path / "config.json", config.to_json())
            yield

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the folder against every other process, cleared of what a killed one did not finish."""
        with lock(self.path):
            self._refuse_links()
            probes = self.path / "probes"
            if probes.is_dir():
                remove_leftovers(probes)
            if self.finished:
                self._checkpoints.drop()
            yield

    def tidy(self) -> None:
        """Clear a finished run of what was left if it was killed at the very end."""
        left = [self.path / "checkpoint", self.path / LOCK_NAME, *self.path.glob(".*.tmp")]
        if self.finished and any(path.exists() for path in left):
            with contextlib.suppress(InputError, OSError), self.hold():
                pass

    def read_config(self) -> RunConfig:
        """The configuration that made this folder.

        Raises:
            InputError: for a ``config.json`` that is missing, damaged, or no configuration of this version.
        """
        written = self.read_config_as_written()
        try:
            return RunConfig.from_json(written)
        except InputError as error:
            raise InputError(
                f"{str(self.path / 'config.json')!r} is no configuration ({error.problem})",
                expected=error.expected,
                fix=f"copy {self.path.name} again from where it was made, or read it with the version that "
                "made it",
            ) from error

    def read_config_as_written(self) -> dict[str, Any]:
        """``config.json`` as it stands: the settings of the version that wrote it."""
        return self._read_json("config.json")

    def read_manifest(self) -> dict[str, Any]:
        """Versions, device, hashes and times; empty before the first episode."""
        if not (self.path / "manifest.json").is_file():
            return {}
        manifest = self._read_json("manifest.json")
        if wrong := _misfit(manifest, _MANIFEST):
            raise InputError(
                f"{str(self.path / 'manifest.json')!r} has {wrong}",
                expected="the manifest as the run wrote it",
                fix="copy the folder again from where it was made, or remove it and run again",
            )
        return manifest

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace ``manifest.json``."""
        write_json(self.path / "manifest.json", manifest)

    @property
    def diverged(self) -> int | None:
        """The episode after which the loss was no longer finite; None where that did not happen."""
        return self.read_manifest().get("diverged")

    def save(self, checkpoint: Checkpoint) -> float:
        """Write a checkpoint, keeping the one before it; seconds it took."""
        return self._checkpoints.save(checkpoint)

    def trajectories(self) -> dict[str, str | None]:
        """Checksums of the states of probes' trajectories that are on the disk, by name."""
        return self._checkpoints.trajectories()

    def load(self) -> tuple[Checkpoint | None, str]:
        """The newest checkpoint that is as it was written; where a newer one is not, a line that says so."""
        return self._checkpoints.load()

    def resume(self) -> tuple[Checkpoint | None, str]:
        """Like `load`, and drop what comes after it, from the log too; only for who holds the folder."""
        checkpoint, note = self._checkpoints.resume()
        log.rewind(self.path / "log.jsonl", checkpoint.episode if checkpoint else 0)
        return checkpoint, note

    def saved_rows(self) -> np.ndarray | None:
        """Losses up to the newest checkpoint, of which nothing else is read; None without one."""
        return self._checkpoints.rows()

    def save_weights(self, weights: Tensors) -> None:
        """Keep the trained weights as ``weights.safetensors``."""
        save_tensors(self.path / "weights.safetensors", weights, {})

    @property
    def keeps_weights(self) -> bool:
        """Whether the trained weights were kept."""
        return (self.path / "weights.safetensors").is_file()

    def load_weights(self) -> Tensors | None:
        """The trained weights; None where they were not kept."""
        file = self.path / "weights.safetensors"
        if not file.is_file():
            return None
        try:
            return load_tensors(file)[0]
        except ValueError as error:
            raise InputError(
                f"{str(file)!r} is damaged ({error})",
                expected="the file as the run wrote it",
                fix="copy it again, or run again with " + arg("keep_weights") + " in another folder",
            ) from error

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to ``log.jsonl``."""
        log.append(self.path / "log.jsonl", record)

    def read_log(self) -> list[dict[str, Any]]:
        """Records of the episodes so far: ``episode``, ``task``, ``mean_loss``; damaged lines left out."""
        return log.read(self.path / "log.jsonl")

    def write_probe(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write what a probe found as ``probes/NAME.npz``."""
        self._refuse_links()
        save_arrays(self.path / "probes" / f"{name}.npz", arrays)

    def finish(self, losses: LossMatrix, extra: Mapping[str, LossMatrix]) -> None:
        """Write the loss matrices (``losses.npz`` marks the run as finished) and drop the checkpoints."""
        for name, matrix in extra.items():
            matrix.save(self.path / f"{name}.npz")
        losses.save(self.path / "losses.npz")
        self._checkpoints.drop()

    def _refuse_links(self) -> None:
        """Nothing that a run writes may lie elsewhere by way of a link in its folder."""
        parts = [self.path / name for name in ("log.jsonl", "checkpoint", "probes")]
        for path in [*parts, *parts[1].rglob("*")]:
            if path.is_symlink() or (path in parts[1:] and path.exists() and not path.is_dir()):
                raise InputError(
                    f"{str(path)!r} is {'a link' if path.is_symlink() else 'no folder'}",
                    expected="files and folders that the run made itself",
                    fix=f"remove {path}, or choose another folder",
                )

    def _read_json(self, name: str) -> dict[str, Any]:
        return read_json(
            self.path / name,
            fix=f"the folder is no run or is damaged: copy it again, or remove {self.path} and run again",
        )


def _misfit(values: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The first entry that is of another type than it should be, in words."""
    for name, kind in schema.items():
        value = values.get(name)
        nested = isinstance(kind, dict)
        if name in values and not isinstance(value, dict if nested else kind):
            return f"{name} {str(value)[:60]!r}"
        if nested and (wrong := _misfit(values.get(name, {}), kind)):
            return f"{name} with {wrong}"
    return ""


def divergence(config: RunConfig, episode: int) -> InputError:
    """What is to be said of a run whose loss was no longer finite after an episode; 0 is before the first."""
    if not episode:
        return InputError(
            arg("weights", config.weights) + ": losses that are not finite before anything is trained",
            expected="weights, as finite numbers, at which losses are finite",
            fix="copy or download the checkpoint again" if config.weights == "pretrained"
            else arg("precision", "ieee") + ", or another " + arg("model"),
        )  # fmt: skip
    return InputError(
        arg("lr", config.lr) + f": the loss is no longer finite after episode {episode}",
        expected="a learning rate at which training is stable",
        fix=arg("lr", float(f"{config.lr / 3:.1g}")) + " in another folder",
    )
