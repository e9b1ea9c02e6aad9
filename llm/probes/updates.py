"""Sizes of the updates between episodes, of weights and of activations (paper appendix C.1, Fig. 17)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llm.networks.layers import output_module
from llm.probes.activations import last_activations

if TYPE_CHECKING:
    import torch

    from llm.steps.state import TrainingState

__all__ = ["Updates"]


class Updates:
    """Euclidean distance between consecutive episodes, of all trainable weights and of chosen documents'
    last-layer activations. Keeps one more copy of the trainable weights on the device.

    Args:
        documents: whose activations; the paper's is the first.
    """  # noqa: D205

    name = "updates"

    def __init__(self, documents: tuple[int, ...] = (0,)) -> None:
        self.documents = documents
        self._weights: list[float] = []
        self._activations: list[list[float]] = []

    def check(self, run: TrainingState) -> None:
        """The network must have an output layer."""
        output_module(run.model)

    def start(self, run: TrainingState) -> None:
        """Copy weights and activations as they are; after a checkpoint they are those of its episode."""
        self._parameters = [p for p in run.model.parameters() if p.requires_grad]
        self._before = [p.detach().clone() for p in self._parameters]
        self._seen = [last_activations(run.model, run.adapter, d) for d in self.documents]

    def after_episode(self, run: TrainingState, episode: int) -> None:
        """Measure the distance to the copies and renew them."""
        import torch

        squares = torch.zeros((), dtype=torch.float64, device=run.device)
        for parameter, before in zip(self._parameters, self._before, strict=True):
            # The copy is overwritten by the difference, so that no third one is needed.
            torch.sub(parameter.detach(), before, out=before)
            squares += torch.linalg.vector_norm(before).double() ** 2
            before.copy_(parameter.detach())
        self._weights.append(float(squares.sqrt()))
        seen = [last_activations(run.model, run.adapter, d) for d in self.documents]
        self._activations.append(
            [float(torch.linalg.vector_norm(a - b)) for a, b in zip(seen, self._seen, strict=True)]
        )
        self._seen = seen

    def finish(self, run: TrainingState) -> dict[str, NDArray[Any]]:
        """``weights``, shape ``(E*T,)``; ``activations``, shape ``(E*T, documents)``; ``documents``."""
        return {
            "weights": np.array(self._weights),
            "activations": np.array(self._activations),
            "documents": np.array(self.documents),
        }

    def state(self) -> dict[str, torch.Tensor]:
        """The sizes so far."""
        import torch

        return {
            "weights": torch.tensor(self._weights, dtype=torch.float64),
            "activations": torch.tensor(self._activations, dtype=torch.float64),
        }

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take over the sizes so far."""
        self._weights = state["weights"].tolist()
        self._activations = state["activations"].tolist()
