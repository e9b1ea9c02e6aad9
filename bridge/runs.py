"""The real runs behind the science table and the checks of predictions, as data: small networks on the CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodel import InputError

if TYPE_CHECKING:
    from llm import Run, RunConfig

__all__ = ["INTERVENTIONS", "SCIENCE", "configuration", "make"]

# What each run changes in the preset "embedded" (6 blocks of width 192, Adam, T=25, M=10, E=5).
SCIENCE: Mapping[str, Mapping[str, Any]] = {
    "adam": {},
    "sgd": {"optimizer": "sgd", "lr": 0.03},
    "steps-5": {"steps": 5},
    "steps-20": {"steps": 20},
    "width-96": {"width": 96, "heads": 6, "feed_forward": 384},
    "depth-2": {"depth": 2},
}
# Runs that a fit to "adam" predicts without having seen them: where continuing a curve has nothing to say.
INTERVENTIONS: Mapping[str, Mapping[str, Any]] = {
    "steps-20": {"steps": 20},
    "steps-5": {"steps": 5},
    "reshuffled": {"schedule": "reshuffled"},
    "documents-20": {"num_documents": 20},
    "epochs-6": {"epochs": 6},
}


def configuration(name: str, seed: int) -> RunConfig:
    """The configuration of a run.

    Raises:
        InputError: for a name that is in neither table.
    """
    from llm import preset

    changes = {**SCIENCE, **INTERVENTIONS}
    if name not in changes:
        raise InputError(f"there is no run {name!r}", expected="one of " + ", ".join(changes), fix="adam")
    return replace(preset("embedded"), seed=seed, device="cpu", **changes[name])


def make(name: str, seed: int, folder: str | os.PathLike[str]) -> Run:
    """Train the run, or read it where it is already finished."""
    from llm import run

    return run(configuration(name, seed), Path(folder) / f"{name}-{seed}")
