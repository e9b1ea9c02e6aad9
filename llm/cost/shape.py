"""Which runs cost the same, and what one needs of a device's memory."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from llm.cost.size import Size, measure_size

if TYPE_CHECKING:
    import torch

__all__ = ["memory_needed", "network", "shape"]

# Of a GPU: the driver's and libraries' own, and what a batched evaluation holds at once.
_OVERHEAD = 4 << 30
# What changes neither the work of an episode nor the number of episodes.
_FREE: dict[str, Any] = {
    "seed": 0, "lr": 1e-3, "scale_lr": False, "weight_decay": None, "schedule": "cyclic", "order": None,
    "shuffle_until": None, "init": "pythia", "mask_probability": 0.0, "mask_up_to": True, "mask_token": 0,
    "window_shift": 0, "window": "text",
}  # fmt: skip


@functools.cache
def shape(config: RunConfig) -> RunConfig:
    """The configuration with a default for whatever does not change its cost: equal for runs of one shape."""
    return dataclasses.replace(config, **_FREE)


def network(config: RunConfig) -> Size:
    """Size of a run's network; laid out once for all runs that differ in nothing that matters for it."""
    same: dict[str, Any] = {"steps": 10}
    if not config.probes:
        same |= {"num_documents": 25, "epochs": 5}  # they matter for what probes keep
    return _measured(dataclasses.replace(shape(config), **same))


@functools.cache
def _measured(config: RunConfig) -> Size:
    return measure_size(config)


def memory_needed(config: RunConfig, device: torch.device) -> int:
    """Bytes on the device, the copy included that recording a step takes of weights and moments."""
    size = network(config)
    if device.type != "cuda":
        return round(1.15 * size.memory)
    return round(1.15 * size.memory) + size.weights + size.optimizer + _OVERHEAD
