"""A finished run, and the score of an unfinished one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from llm.config import RunConfig, config_id
from llm.runs.folder import RunFolder
from toymodel.base.arrays import load_arrays, save_arrays
from toymodel.base.errors import InputError
from toymodel.base.notebook import Shown
from toymodel.base.words import arg
from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import RecoveryScore, intervals, recovery_scores
from toymodel.measures.schedules import each_once

__all__ = ["Run", "running_score"]


@dataclass(frozen=True, eq=False)
class Run(Shown):
    """A finished run, in its run folder or packed into one small file (`pack`).

    Attributes:
        config: what was run.
        manifest: versions, device, hashes and times.
        path: the run folder, or the packed file.
    """

    config: RunConfig
    manifest: dict[str, Any]
    path: Path

    def __repr__(self) -> str:
        config = self.config
        trained = f"{config.num_documents} documents, {config.epochs} epochs of {config.schedule} training"
        return f"Run({self.name!r}: {config.model}, {config.weights} weights, {config.optimizer}, {trained})"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Run:
        """Read a finished run folder, and see that its files belong together.

        Raises:
            InputError: when one of them is missing or damaged, or tells of another run than the others.
        """
        folder = RunFolder(path)
        found = cls(folder.read_config(), folder.read_manifest(), folder.path)
        found._check(folder.read_config_as_written())
        return found

    @cached_property
    def losses(self) -> LossMatrix:
        """The loss matrix.

        Raises:
            InputError: where it is damaged, or of another configuration than this run's index says.
        """
        losses = LossMatrix.load(self.path)
        made = losses.meta.get("config") if self.path.is_file() else None
        if made is not None and RunConfig.from_json(made) != self.config:
            raise InputError(f"{str(self.path)!r} holds another run than its index says",
                             expected=f"the run {self.config.id}",
                             fix="copy the folder again from where it was made")  # fmt: skip
        return losses

    @property
    def name(self) -> str:
        """Name of the folder or packed file."""
        return self.path.name if self.path.is_dir() else self.path.stem

    @property
    def probes(self) -> tuple[str, ...]:
        """Names of what was measured, with the run or after it, which no configuration tells."""
        if self.path.is_dir():
            return tuple(sorted(file.stem for file in (self.path / "probes").glob("*.npz")))
        return tuple(self.config.probes)

    def recovery(self) -> list[RecoveryScore]:
        """Recovery score of every epoch (paper eq. 1)."""
        return recovery_scores(self.losses)

    def extra(self, name: str) -> LossMatrix:
        """Another evaluation, e.g. ``summaries``."""
        return LossMatrix.load(self.path / f"{name}.npz")

    def probe(self, name: str) -> dict[str, np.ndarray]:
        """What a probe found.

        Raises:
            InputError: when the run has none of that name.
        """
        if name not in self.probes:
            raise InputError(f"run {self.name} has no probe {name!r}",
                             expected="one of " + (", ".join(self.probes) or "none"),
                             fix=arg("probes", name))  # fmt: skip
        if self.path.is_dir():
            return dict(load_arrays(self.path / "probes" / f"{name}.npz"))
        packed = load_arrays(self.path)
        return {key.partition("/")[2]: packed[key] for key in packed if key.startswith(f"{name}/")}

    def pack(self, path: str | os.PathLike[str], **also: np.ndarray) -> None:
        """Write losses, order and probes as one small file; a `Run` whose path it is reads it like a folder.

        Losses that are single precision by origin are kept so, without loss; probes are rounded to it.

        Args:
            path: the ``.npz`` file.
            also: further arrays by key.
        """
        arrays = {"losses": _single(self.losses.values), "order": _narrow(self.losses.order)}
        arrays["meta"] = np.array(json.dumps({"config": self.config.to_json()}))
        for name in self.config.probes:
            for key, values in self.probe(name).items():
                arrays[f"{name}/{key}"] = values.astype(np.float32) if values.dtype == np.float64 else values
        save_arrays(path, arrays | also, compress=True)

    def _check(self, written: Mapping[str, Any]) -> None:
        """That configuration, manifest and losses are of one run.

        Args:
            written: ``config.json`` as it stands, since later versions may have further settings.
        """
        config, meta = self.config, self.losses.meta
        tasks, stored = self.manifest.get("tasks", {}), config_id(written)
        said = [  # what, according to which file, and according to another
            ("configuration", "manifest.json", self.manifest.get("config_id"), "config.json", stored),
            ("tasks", "losses.npz", meta.get("tasks_sha256"), "manifest.json", tasks.get("sha256")),
            ("number of tasks", "losses.npz", self.losses.tasks, "config.json", config.num_documents),
            ("number of tasks", "manifest.json", _length(tasks.get("names")), "config.json",
             config.num_documents),
            ("number of epochs", "losses.npz", self.losses.epochs, "config.json", config.epochs),
        ]  # fmt: skip
        for what, one, mine, other, theirs in said:
            if mine is not None and theirs is not None and mine != theirs:
                raise InputError(
                    f"run folder {str(self.path)!r} holds files of different runs: its {what} is "
                    f"{_short(mine)} by {one} and {_short(theirs)} by {other}",
                    expected="the files that one run wrote",
                    fix=f"copy {self.name} again from where it was made, or remove it",
                )

    def save_results(self, path: str | os.PathLike[str]) -> None:
        """Write the losses in the format of the authors' program (``*_results.npz``)."""
        save_arrays(path, {"eval_losses_ckpt": self.losses.values})

    def plot(self) -> Any:
        """Loss of the first document and of all documents shift-averaged; a matplotlib figure."""
        from matplotlib.figure import Figure

        from toymodel.measures.recovery import shift_averaged, visits

        # Not pyplot's: a notebook would show the figure it returns and the one that is current.
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        one, every = figure.subplots(1, 2)
        curve = self.losses.values[:, 0]
        before = visits(self.losses)[0]
        one.plot(curve)
        one.plot(before, curve[before], "o", color="black", label="before training on it")
        one.set(title="document 1", xlabel="episode", ylabel="loss")
        one.legend(frameon=False)
        mean = shift_averaged(self.losses)
        every.plot(mean.lag, mean.mean)
        every.fill_between(mean.lag, mean.mean - mean.deviation, mean.mean + mean.deviation, alpha=0.2)
        every.set(title="all documents, shift-averaged", xlabel="episodes since first training")
        return figure


def running_score(rows: np.ndarray, order: np.ndarray, done: int) -> str:
    """Recovery score of the current epoch over the tasks that have returned in it so far.

    In an order that leaves tasks out of an epoch or repeats them, the epoch's online loss so far.
    """
    tasks = order.shape[1]
    epoch = (done - 1) // tasks
    if not each_once(order):
        trained = order.ravel()[epoch * tasks : done]
        online = rows[np.arange(epoch * tasks, done), trained].mean()
        return f"online loss {online:.3g}"
    if epoch == 0:
        return "recovery score: from epoch 2 on"
    padded = rows[: 1 + (epoch + 1) * tasks].copy()
    padded[1 + done :] = rows[done]
    try:
        part = intervals(LossMatrix(padded, order[: epoch + 1]), epoch)
    except ValueError:  # an order that visits no task so often
        return "no score yet"
    back = np.isin(part.task, order.ravel()[epoch * tasks : done])
    if not back.any():
        return "no score yet"
    after, peak, before = (float(v[back].mean()) for v in (part.after, part.peak, part.before))
    return f"recovery score {(peak - before) / (peak - after):.2f}" if peak > after else "nothing forgotten"


def _length(names: list[str] | None) -> int | None:
    return None if names is None else len(names)


def _short(value: object) -> str:
    return str(value)[:12]


def _single(values: np.ndarray) -> np.ndarray:
    single = values.astype(np.float32)
    return single if np.array_equal(single, values) else values


def _narrow(order: np.ndarray) -> np.ndarray:
    return order.astype(np.int16) if order.max(initial=0) < 2**15 else order
