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
_FREE = (
    "seed", "lr", "scale_lr", "weight_decay", "schedule", "order", "shuffle_until", "reverse_block", "init",
    "mask_probability", "mask_up_to", "mask_token", "window_shift", "window",
)  # fmt: skip


@functools.cache
def shape(config: RunConfig) -> RunConfig:
    """The configuration with a default for whatever does not change its cost: equal for runs of one shape."""
    return _by_default(config, *_FREE)


def network(config: RunConfig) -> Size:
    """Size of a run's network; laid out once for all runs that differ in nothing that matters for it."""
    # Documents and epochs matter for what probes keep.
    return _measured(
        _by_default(shape(config), "steps", *(() if config.probes else ("num_documents", "epochs")))
    )


def _by_default(config: RunConfig, *names: str) -> RunConfig:
    defaults: dict[str, Any] = {name: getattr(RunConfig, name) for name in names}
    return dataclasses.replace(config, **defaults)


@functools.cache
def _measured(config: RunConfig) -> Size:
    return measure_size(config)


def memory_needed(config: RunConfig, device: torch.device) -> int:
    """Bytes on the device, the copy included that recording a step takes of weights and moments."""
    size = network(config)
    if device.type != "cuda":
        return round(1.15 * size.memory)
    return round(1.15 * size.memory) + size.weights + size.optimizer + _OVERHEAD
