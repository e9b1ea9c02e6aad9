"""What a probe is, and how it looks without leaving a trace."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from llm.steps.state import TrainingState

__all__ = ["Probe", "cosines", "observing"]


class Probe(Protocol):
    """A measurement beside the losses. It must leave weights, optimizer and random state as they were."""

    name: str

    def check(self, run: TrainingState) -> None:
        """Called first of all, before anything is written: refuse what cannot work."""

    def start(self, run: TrainingState) -> None:
        """Called once before training, or right after a checkpoint was restored."""

    def after_episode(self, run: TrainingState, episode: int) -> None:
        """Called after each episode; `episode` counts the finished ones, 1 for the first."""

    def finish(self, run: TrainingState) -> dict[str, NDArray[Any]]:
        """The result, written to ``probes/<name>.npz``."""

    def state(self) -> dict[str, torch.Tensor]:
        """What must travel with a checkpoint."""

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take back what `state` gave; called before `start`."""


@contextlib.contextmanager
def observing(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode (no dropout) inside the block; modes and random state are as before after it."""
    import torch

    modes = [(module, module.training) for module in model.modules()]
    devices = list({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    try:
        model.eval()
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        for module, training in modes:
            module.training = training


def cosines(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosines of vectors from their Gram matrix, shape ``(n, n)``; NaN beside a vector of length 0."""
    norms = np.sqrt(np.clip(np.diag(gram), 0, None))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip(gram / np.outer(norms, norms), -1, 1)
