"""How similar documents are to a network that has seen none: cosines of their gradients before training."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from llm.config import RunConfig
from llm.runs.folder import RunFolder
from llm.training.session import open_session

__all__ = ["initial_similarity", "report"]


def initial_similarity(config: RunConfig) -> dict[str, NDArray[Any]]:
    """Inner products and cosines of the gradients of all documents' losses at a run's initial weights.

    What `toymodel.choose_order` takes, before anything is trained.

    Args:
        config: the run; the gradients are over all weights, or over its ``probe_layer``.

    Returns:
        ``gram`` and ``cosines``, float64, shape ``(T, T)``, and ``layer``, its name.

    Raises:
        InputError: for whatever of the run cannot be read or built, or an unknown layer.
    """
    from llm.probes.gradients import Gradients

    probe = Gradients(config.probe_layer or "all")
    bare = dataclasses.replace(config, probes=())
    with (
        tqdm(desc="gradients", bar_format="{desc} ({elapsed})", leave=False, disable=None),
        tempfile.TemporaryDirectory() as place,
        open_session(bare, RunFolder(place), [probe]) as session,
    ):
        return probe.finish(session.state)


def report(found: Mapping[str, NDArray[Any]]) -> str:
    """What was found, in a line."""
    where = "all weights" if found["layer"] == "all" else str(found["layer"])
    tasks = len(found["cosines"])
    pairs = found["cosines"][np.triu_indices(tasks, 1)]
    return (
        f"cosines of {tasks} documents' gradients over {where}, before training: mean {pairs.mean():.3f}, "
        f"standard deviation {pairs.std():.3f}, from {pairs.min():.3f} to {pairs.max():.3f}"
    )
