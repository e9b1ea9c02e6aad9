"""Pairwise recovery: what training on one document does to the others (section 4.1, Figs. 8b and 18)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llm.steps.restoring import restoring

if TYPE_CHECKING:
    import torch

    from llm.steps.state import TrainingState
    from llm.steps.step import Step

__all__ = ["Pairwise", "pairwise_recovery"]


def pairwise_recovery(
    model: torch.nn.Module, step: Step, tasks: int, steps: int, *, reset: bool = True, episode: int = 0
) -> dict[str, NDArray[np.float64]]:
    """From the weights as they are, train on each document i and see the change of every loss j.

    The network is trained in place and put back bitwise before each document and at the end: one copy of
    weights, buffers and optimizer is all the memory that is needed. Costs as much as one epoch of training.

    Args:
        model: the network.
        step: ``train(task, steps, episode)``, ``evaluate()``, ``reset_optimizer()`` and the ``optimizer``.
        tasks: number of documents T.
        steps: gradient steps M on each.
        reset: start each from a reset optimizer, rather than from its state as it is.
        episode: seeds the random variations of the documents, the same for all.

    Returns:
        ``before``, the losses now, shape ``(T,)``; ``after``, shape ``(T, T)``, row i after training on i;
        ``recovery = before - after``: positive where training on i lowers the loss of j.
    """
    with restoring(model, step) as restore:
        before = _losses(step)
        after = np.empty((tasks, len(before)))
        for task in range(tasks):
            restore()
            if reset:
                step.reset_optimizer()
            step.train(task, steps, episode)
            after[task] = _losses(step)
    return {"before": before, "after": after, "recovery": before - after}


class Pairwise:
    """The pairwise recovery matrix of the trained network."""

    name = "pairwise"

    def check(self, run: TrainingState) -> None:
        """Nothing that could be wrong."""

    def start(self, run: TrainingState) -> None:
        """Nothing to prepare."""

    def after_episode(self, run: TrainingState, episode: int) -> None:
        """Nothing: the matrix is that of the trained network."""

    def finish(self, run: TrainingState) -> dict[str, NDArray[Any]]:
        """``recovery`` and ``after``, shape ``(T, T)``; ``before``, shape ``(T,)``."""
        config = run.config
        return dict(
            pairwise_recovery(
                run.model,
                run.step,
                config.num_documents,
                config.steps,
                reset=config.reset_optimizer,
                episode=run.order.size,
            )
        )

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing to keep."""
        return {}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Nothing to take back."""


def _losses(step: Step) -> NDArray[np.float64]:
    return np.asarray(step.evaluate().cpu(), dtype=np.float64)
