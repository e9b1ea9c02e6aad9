"""How long runs take: counted from shapes, timed by the runs before them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm.config import RunConfig
from llm.cost.shape import network
from llm.cost.work import count_work

__all__ = ["TimeEstimator"]

# Assumed until a run of the campaign has shown better: the part of a large matrix product's rate that
# training reaches, and seconds of a host per weight (drawing it, hashing it, copying it).
_PART_OF_RATE = 0.2
_SETUP = 4e-8


@dataclass
class TimeEstimator:
    """Times of runs to come.

    Attributes:
        runs: facts about earlier ones on this device: ``operations``, ``episode_seconds`` and ``together``
            (how many went side by side), ``parameters`` and ``setup_seconds``.
        rate: operations per second of a large matrix product here.
    """

    runs: list[Mapping[str, Any]]
    rate: float

    def episode(self, config: RunConfig, together: int = 1) -> float:
        """Seconds of an episode: at the rate of the run that is most like it, or a cautious guess.

        Args:
            config: the run.
            together: such runs side by side, which train an episode each in that time. Until so many have
                been timed they are taken to need each other's time, as if they took turns.
        """
        operations = self.operations(config)
        timed = [run for run in self.runs if run.get("episode_seconds")]
        if not timed:
            return together * operations / (_PART_OF_RATE * self.rate)
        beside = [run for run in timed if run.get("together", 1) == together]
        near = min(beside or timed, key=lambda run: abs(math.log(run["operations"] / operations)))
        turns = max(1.0, together / near.get("together", 1))
        # A smaller run is slower per operation, so one much larger than what was timed gains nothing here.
        return turns * max(1.0, operations / near["operations"]) * float(near["episode_seconds"])

    def setup(self, config: RunConfig) -> float:
        """Seconds before the first episode."""
        parameters = network(config).parameters
        timed = [run for run in self.runs if run.get("setup_seconds")]
        if not timed:
            return 2 + _SETUP * parameters
        near = min(timed, key=lambda run: abs(math.log(run["parameters"] / parameters)))
        return max(1.0, parameters / near["parameters"]) * float(near["setup_seconds"])

    def whole(self, config: RunConfig, episodes_left: int, together: int = 1) -> float:
        """Seconds that a run needs to finish, with those beside it."""
        closing = config.num_documents if "pairwise" in config.probes else 0
        episodes = (episodes_left + closing) * self.episode(config, together)
        return together * self.setup(config) + episodes

    def least(self, config: RunConfig, episodes_left: int) -> float:
        """Seconds that a run must have to get on at all: one episode and a checkpoint, or its end."""
        if episodes_left:
            return self.setup(config) + 2 * self.episode(config)
        return self.whole(config, 0)

    @staticmethod
    def operations(config: RunConfig) -> int:
        """Of an episode with its evaluation."""
        size = network(config)
        return count_work(config, size.parameters, size.operations).episode_operations(config)
