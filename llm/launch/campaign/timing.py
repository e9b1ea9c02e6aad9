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
        runs: facts about earlier ones on this device: ``operations`` and ``episode_seconds``, ``parameters``
            and ``setup_seconds``.
        rate: operations per second of a large matrix product here.
    """

    runs: list[Mapping[str, Any]]
    rate: float

    def episode(self, config: RunConfig) -> float:
        """Seconds of an episode: at the rate of the run that is most like it, or a cautious guess."""
        operations = self.operations(config)
        timed = [run for run in self.runs if run.get("episode_seconds")]
        if not timed:
            return operations / (_PART_OF_RATE * self.rate)
        near = min(timed, key=lambda run: abs(math.log(run["operations"] / operations)))
        # A smaller run is slower per operation, so one much larger than what was timed gains nothing here.
        return max(1.0, operations / near["operations"]) * float(near["episode_seconds"])

    def setup(self, config: RunConfig) -> float:
        """Seconds before the first episode."""
        parameters = network(config).parameters
        timed = [run for run in self.runs if run.get("setup_seconds")]
        if not timed:
            return 2 + _SETUP * parameters
        near = min(timed, key=lambda run: abs(math.log(run["parameters"] / parameters)))
        return max(1.0, parameters / near["parameters"]) * float(near["setup_seconds"])

    def whole(self, config: RunConfig, episodes_left: int) -> float:
        """Seconds that a run needs to finish."""
        closing = config.num_documents if "pairwise" in config.probes else 0
        return self.setup(config) + (episodes_left + closing) * self.episode(config)

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
