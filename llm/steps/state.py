"""What probes and trackers see of a run while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from llm.config import RunConfig
    from llm.steps.step import Step
    from llm.tasks.protocol import TaskAdapter

__all__ = ["TrainingState"]


@dataclass(frozen=True)
class TrainingState:
    """A run under way, to read and to try things on.

    A probe that trains (``state.step.train``) or resets the optimizer puts every tensor back afterwards, in
    place (`llm.steps.restoring`), so that a run gives the same losses with and without probes.

    Attributes:
        config: what is run.
        adapter: the tasks, their buffers and losses.
        step: ``train(task, steps, episode)``, ``evaluate()``, ``reset_optimizer()``.
        order: task of every episode, int64, shape ``(E, T)``.
        rows: losses so far, float64, shape ``(1 + E*T, T)``; rows past the present are not yet written.
        path: the run folder.
        device: where the network is.
    """

    config: RunConfig
    adapter: TaskAdapter
    step: Step
    order: NDArray[np.int64]
    rows: NDArray[np.float64]
    path: Path
    device: torch.device

    @property
    def model(self) -> torch.nn.Module:
        """The network, with its current weights."""
        return self.adapter.model
