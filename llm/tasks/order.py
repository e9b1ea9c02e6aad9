"""Which task each episode of a run trains."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from llm.config import RunConfig
from toymodel.measures.schedules import options_of, schedule

__all__ = ["episode_order"]

# What runs call options of schedules; the others are as the schedules have them.
_FIELDS = {"until": "shuffle_until", "block": "reverse_block"}


def episode_order(config: RunConfig) -> NDArray[np.int64]:
    """Task of every episode, int64, shape ``(E, T)``."""
    if config.order is not None:
        return schedule(json.loads(config.order), config.num_documents, config.epochs)
    options = {
        option: getattr(config, _FIELDS[option])
        for option in options_of(config.schedule)
        if option in _FIELDS
    }
    return schedule(config.schedule, config.num_documents, config.epochs, config.seed, **options)
