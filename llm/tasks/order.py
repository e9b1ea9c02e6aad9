"""Which task each episode of a run trains."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from llm.config import RunConfig
from toymodel.measures.schedules import schedule

__all__ = ["episode_order"]


def episode_order(config: RunConfig) -> NDArray[np.int64]:
    """Task of every episode, int64, shape ``(E, T)``."""
    if config.order is not None:
        return schedule(json.loads(config.order), config.num_documents, config.epochs)
    options: dict[str, dict[str, int | None]] = {
        "middle-shuffled": {"until": config.shuffle_until},
        "locally-reversed": {"block": config.reverse_block},
    }
    chosen = options.get(config.schedule, {})
    return schedule(config.schedule, config.num_documents, config.epochs, config.seed, **chosen)
