"""What a probe sees of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from llm.config import RunConfig
    from llm.steps.step import Step
    from llm.tasks.protocol import TaskAdapter

__all__ = ["RunView"]


@dataclass(frozen=True)
class RunView:
    """A running experiment, for probes to read and to try things on.

    A probe that trains (``view.step.train``) or resets the optimizer puts every tensor back afterwards,
    in place, so that a run gives the same losses with and without probes.

    Attributes:
        config: what is run.
        adapter: the tasks, their buffers and losses.
        step: ``train(task, steps, episode)``, ``evaluate()``, ``reset_optimizer()``.
        order: task of every episode, int64, shape ``(E, T)``.
        rows: losses so far, float64, shape ``(1 + E*T, T)``; rows past the present are not yet written.
        path: the run folder.
        device: where the model is.
    """

    config: RunConfig
    adapter: TaskAdapter
    step: Step
    order: NDArray[np.int64]
    rows: NDArray[np.float64]
    path: Path
    device: torch.device

    @property
    def model(self) -> Any:
        """The network, with its current weights."""
        return self.adapter.model
