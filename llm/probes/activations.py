"""Activations of chosen documents through training (paper section 4.3, Fig. 8d)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llm.networks.layers import output_module
from llm.probes.base import cosines, observing
from llm.probes.trajectory import Trajectory

if TYPE_CHECKING:
    import torch

    from llm.steps.state import TrainingState
    from llm.tasks.protocol import TaskAdapter

__all__ = ["Activations", "last_activations"]


def last_activations(model: torch.nn.Module, adapter: TaskAdapter, task: int) -> torch.Tensor:
    """What the output layer sees of one document: float32, shape ``(positions, width)``, no gradients.

    Positions are those whose next token counts in the loss; padding is left out.

    Args:
        model: the network.
        adapter: its tasks and losses.
        task: which document.
    """
    import torch

    seen: list[torch.Tensor] = []
    handle = output_module(model).register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    try:
        with observing(model), torch.no_grad():
            adapter.load(task)
            adapter.loss()
    finally:
        handle.remove()
    found = seen[-1].reshape(-1, seen[-1].shape[-1]).float()
    counted = adapter.counted()
    return found[: len(counted)][counted]  # some networks compute the last position too


class Activations:
    """Cosines of a document's last-layer activations before training and after every episode.

    Args:
        documents: which documents; the paper's is the first.
    """

    name = "activations"

    def __init__(self, documents: tuple[int, ...] = (0,)) -> None:
        self.documents = documents
        self._states = 0

    def check(self, run: TrainingState) -> None:
        """Refuse a disk that is too small."""
        self._files = []
        for document in self.documents:
            size = last_activations(run.model, run.adapter, document).numel()
            folder = run.path / "checkpoint" / "trajectories" / f"activations-{document}"
            self._files.append(Trajectory(folder, size))
        for files in self._files:
            files.check_disk(1 + run.order.size)

    def start(self, run: TrainingState) -> None:
        """Check what a checkpoint relies on; keep the activations before training."""
        for files in self._files:
            files.check(self._states)
        if self._states == 0:
            self._keep(run, 0)

    def after_episode(self, run: TrainingState, episode: int) -> None:
        """Keep the activations."""
        self._keep(run, episode)

    def finish(self, run: TrainingState) -> dict[str, NDArray[Any]]:
        """``cosines`` and ``gram``, shape ``(documents, 1 + E*T, 1 + E*T)``; ``documents``."""
        grams = np.array([files.gram(range(self._states), device=run.device) for files in self._files])
        return {
            "cosines": np.array([cosines(gram) for gram in grams]),
            "gram": grams,
            "documents": np.array(self.documents),
        }

    def state(self) -> dict[str, torch.Tensor]:
        """How many states the checkpoint relies on; they are on the disk when this returns."""
        import torch

        for files in self._files:
            files.sync()
        return {"states": torch.tensor(self._states)}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Later states on the disk, if any, will be written again."""
        self._states = int(state["states"])

    def _keep(self, run: TrainingState, state: int) -> None:
        for document, files in zip(self.documents, self._files, strict=True):
            files.write(state, [last_activations(run.model, run.adapter, document)])
        self._states = state + 1
