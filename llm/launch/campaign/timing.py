"""How long runs take and how much memory they need: counted from shapes, timed by the runs before them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from llm.cost.size import Size, measure_size
from llm.cost.work import count_work

if TYPE_CHECKING:
    import torch

__all__ = ["TimeEstimator", "memory_needed", "network"]

# Assumed until a run of the campaign has shown better: the part of a large matrix product's rate that
# training reaches, and seconds of a host per weight (drawing it, hashing it, copying it).
_PART_OF_RATE = 0.2
_SETUP = 4e-8
# Of a GPU: the driver's and libraries' own, and what a batched evaluation holds at once.
_OVERHEAD = 4 << 30


def network(config: RunConfig) -> Size:
    """Size of a run's network; laid out once for all runs that differ in nothing that matters for it."""
    same: dict[str, Any] = {"seed": 0, "lr": 1e-3, "schedule": "cyclic", "order": None, "weight_decay": None,
                            "shuffle_until": None, "steps": 10, "init": "pythia",
                            "mask_probability": 0.0, "window_shift": 0}  # fmt: skip
    if not config.probes:
        same |= {"num_documents": 25, "epochs": 5}  # they matter for what probes keep
    return _measured(dataclasses.replace(config, **same))


@functools.cache
def _measured(config: RunConfig) -> Size:
    return measure_size(config)


def memory_needed(config: RunConfig, device: torch.device) -> int:
    """Bytes on the device, the copy included that recording a step takes of weights and moments."""
    size = network(config)
    if device.type != "cuda":
        return round(1.15 * size.memory)
    return round(1.15 * size.memory) + size.weights + size.optimizer + _OVERHEAD


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
