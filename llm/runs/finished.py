"""A finished run, and the score of an unfinished one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm.config import RunConfig
from llm.runs.folder import RunFolder
from toymodel.base.files import atomic_write
from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import RecoveryScore, intervals, recovery_scores

__all__ = ["Run", "running_score"]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        config: what was run.
        losses: the loss matrix.
        manifest: versions, device, hashes and times.
        path: the run folder.
    """

    config: RunConfig
    losses: LossMatrix
    manifest: dict[str, Any]
    path: Path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Run:
        """Read a finished run folder."""
        folder = RunFolder(path)
        losses = LossMatrix.load(path)
        return cls(folder.read_config(), losses, folder.read_manifest(), folder.path)

    def recovery(self) -> list[RecoveryScore]:
        """Recovery score of every epoch (paper eq. 1)."""
        return recovery_scores(self.losses)

    def extra(self, name: str) -> LossMatrix:
        """Another evaluation, e.g. ``summaries``."""
        return LossMatrix.load(self.path / f"{name}.npz")

    def probe(self, name: str) -> dict[str, np.ndarray]:
        """What a probe found."""
        with np.load(self.path / "probes" / f"{name}.npz", allow_pickle=False) as arrays:
            return dict(arrays)

    def save_results(self, path: str | os.PathLike[str]) -> None:
        """Write the losses in the format of the authors' program (``*_results.npz``)."""
        with atomic_write(path) as file:
            np.savez(file, eval_losses_ckpt=self.losses.values)

    def plot(self) -> Any:
        """Loss of the first document and of all documents shift-averaged; a matplotlib figure."""
        import matplotlib.pyplot as plt

        from toymodel.measures.recovery import shift_averaged, visits

        figure, (one, every) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
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
    """Recovery score of the current epoch over the tasks that have returned in it so far."""
    tasks = order.shape[1]
    epoch = (done - 1) // tasks
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
