"""The real runs behind the science table and the checks of predictions, as data: small networks, CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodel import InputError

if TYPE_CHECKING:
    from llm import Run, RunConfig

__all__ = ["INTERVENTIONS", "SCIENCE", "SMALL", "configuration", "make"]

# A run of this takes ten seconds of one core: the preset "embedded" at half its width, four blocks.
SMALL: Mapping[str, Any] = {
    "num_documents": 16, "width": 96, "heads": 6, "feed_forward": 384, "depth": 4, "lr": 1e-3,
}  # fmt: skip
# What each run changes in it.
SCIENCE: Mapping[str, Mapping[str, Any]] = {
    "adam": {},
    "sgd": {"optimizer": "sgd", "lr": 0.05},
    "steps-5": {"steps": 5},
    "steps-20": {"steps": 20},
    "width-48": {"width": 48, "feed_forward": 192},
    "depth-2": {"depth": 2},
}
# Runs that a fit to "adam" predicts without having seen them: where continuing a curve has nothing to say.
INTERVENTIONS: Mapping[str, Mapping[str, Any]] = {
    "steps-5": {"steps": 5},
    "steps-20": {"steps": 20},
    "reshuffled": {"schedule": "reshuffled"},
    "documents-12": {"num_documents": 12},
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
    return replace(preset("embedded"), seed=seed, device="cpu", **{**SMALL, **changes[name]})


def make(name: str, seed: int, folder: str | os.PathLike[str]) -> Run:
    """Train the run, or read it where it is already finished."""
    from llm import run

    return run(configuration(name, seed), Path(folder) / f"{name}-{seed}")
