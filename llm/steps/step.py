"""How gradient steps and evaluations are executed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from llm.steps.optimizers import Optimizer
    from llm.tasks.protocol import TaskAdapter

__all__ = ["EagerStep", "Step"]


class Step(Protocol):
    """Executes episodes; another implementation may capture and replay them, to the same numbers."""

    optimizer: Optimizer

    @property
    def execution(self) -> str:
        """How steps are executed, for the manifest."""

    def train(self, task: int, steps: int, episode: int = 0) -> None:
        """Take `steps` gradient steps on one task; `episode` seeds the random variations."""

    def evaluate(self) -> torch.Tensor:
        """Loss of every task, on the device, shape ``(T,)``."""

    def reset_optimizer(self) -> None:
        """Forget the optimizer's state in place."""


@dataclass
class EagerStep:
    """Plain execution.

    Attributes:
        adapter: the tasks and their losses.
        optimizer: over the trainable parameters.
        reason: why not otherwise, where there was a choice.
    """

    adapter: TaskAdapter
    optimizer: Optimizer
    reason: str = ""

    @property
    def execution(self) -> str:
        """How steps are executed, for the manifest."""
        return f"eager ({self.reason})" if self.reason else "eager"

    def train(self, task: int, steps: int, episode: int = 0) -> None:
        """Take `steps` gradient steps on one task; `episode` seeds the random variations."""
        for step in range(steps):
            self.adapter.load(task, episode, step)
            self.optimizer.update(self.adapter)

    def evaluate(self) -> torch.Tensor:
        """Loss of every task, on the device, shape ``(T,)``."""
        return self.adapter.losses()

    def reset_optimizer(self) -> None:
        """Forget the optimizer's state in place."""
        self.optimizer.reset()
