"""Weights through training: window residuals (paper eq. 2, Fig. 8c) and principal components (Fig. 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llm.networks.layers import select_layer
from llm.probes.base import cosines
from llm.probes.trajectory import Trajectory, principal_components, window_residuals

if TYPE_CHECKING:
    import torch

    from llm.steps.state import TrainingState

__all__ = ["PrincipalComponents", "Residuals", "WeightTrajectory"]


class WeightTrajectory:
    """The weights of one layer before training and after every episode; two probes of a layer share one.

    On disk ``4 (1 + E T) size`` bytes until the run is finished, in memory see `llm.probes.trajectory`.

    Args:
        layer: name of the layer.
    """

    def __init__(self, layer: str) -> None:
        self.layer = layer
        self.name = layer
        self.states = 0
        self._gram: NDArray[np.float64] | None = None

    def check(self, run: TrainingState) -> None:
        """Refuse an unknown layer and a disk that is too small."""
        layer = select_layer(run.model, self.layer)
        self.name, self._parameters = layer.name, layer.parameters
        self._files = Trajectory(run.path / "checkpoint" / "trajectories" / layer.name, layer.size)
        self._files.check_disk(1 + run.order.size)

    def start(self) -> None:
        """Check what a checkpoint relies on; keep the weights before training."""
        self._files.check(self.states)
        if self.states == 0:
            self.keep(0)

    def keep(self, state: int) -> None:
        """Keep the weights as they are, unless the other probe of this layer just did."""
        if state >= self.states:
            self._files.write(state, self._parameters.values())
            self.states = state + 1

    def gram(self, run: TrainingState) -> NDArray[np.float64]:
        """Gram matrix of all states less the first, shape ``(1 + E*T, 1 + E*T)``."""
        if self._gram is None:
            self._gram = self._files.gram(range(self.states), origin=0, device=run.device)
        return self._gram

    def state(self) -> dict[str, torch.Tensor]:
        """How many states the checkpoint relies on; they are on the disk when this returns."""
        import torch

        self._files.sync()
        return {"states": torch.tensor(self.states)}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Later states on the disk, if any, will be written again."""
        self.states = int(state["states"])


class _OfWeights:
    """What probes of a weight trajectory share."""

    def __init__(self, weights: WeightTrajectory) -> None:
        self._weights = weights

    def check(self, run: TrainingState) -> None:
        """Refuse an unknown layer and a disk that is too small."""
        self._weights.check(run)

    def start(self, run: TrainingState) -> None:
        """Keep the weights before training."""
        self._weights.start()

    def after_episode(self, run: TrainingState, episode: int) -> None:
        """Keep the weights."""
        self._weights.keep(episode)

    def state(self) -> dict[str, torch.Tensor]:
        """What the trajectory needs."""
        return self._weights.state()

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take over what `state` gave."""
        self._weights.load_state(state)


class Residuals(_OfWeights):
    """Cosines of weight residuals after every episode; of all parameters, as in the paper, by default."""

    name = "residuals"

    def finish(self, run: TrainingState) -> dict[str, NDArray[Any]]:
        """Results by episode, n = E*T.

        ``cosines`` and ``norms`` of the residuals, shape ``(n, n)`` and ``(n,)``; ``episode``, 1 to n;
        ``whole_window``, whether the window of T episodes lies inside the run, shape ``(n,)``; ``gram`` of
        the weights less those before training, shape ``(1 + n, 1 + n)``; ``layer``.
        """
        gram, tasks = self._weights.gram(run), run.config.num_documents
        residuals = window_residuals(gram[1:, 1:], tasks)
        first = np.arange(run.order.size) - tasks // 2
        return {
            "cosines": cosines(residuals),
            "norms": np.sqrt(np.clip(np.diag(residuals), 0, None)),
            "episode": 1 + np.arange(run.order.size),
            "whole_window": (first >= 0) & (first + tasks <= run.order.size),
            "gram": gram,
            "layer": np.array(self._weights.name),
        }


class PrincipalComponents(_OfWeights):
    """First three principal components of the weights after every episode; of the output layer by default."""

    name = "pca"

    def finish(self, run: TrainingState) -> dict[str, NDArray[Any]]:
        """Results by episode, n = E*T.

        ``coordinates``, shape ``(n, 3)``; ``explained``, part of the variance, shape ``(3,)``; ``gram`` of
        the weights less those before training, shape ``(1 + n, 1 + n)``, from which the components of any
        part of the run follow (`principal_components`); ``layer``.
        """
        gram = self._weights.gram(run)
        coordinates, explained = principal_components(gram[1:, 1:])
        return {
            "coordinates": coordinates,
            "explained": explained,
            "gram": gram,
            "layer": np.array(self._weights.name),
        }
