"""The real runs behind the science table and the checks of predictions, as data: small networks, CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodel import InputError

if TYPE_CHECKING:
    from llm import Run, RunConfig

__all__ = ["DESIGNS", "Design", "configuration", "make"]

Changes = Mapping[str, Any]


@dataclass(frozen=True)
class Design:
    """Runs that belong together.

    Attributes:
        base: what all of them change in the preset "embedded" (6 blocks of width 192, T=25, M=10, E=5).
        runs: what each run changes besides; every one is fitted.
        interventions: runs that a fit to "adam" predicts without having seen them: where continuing a curve
            has nothing to say.
    """

    base: Changes
    runs: Mapping[str, Changes]
    interventions: Mapping[str, Changes]


DESIGNS: Mapping[str, Design] = {
    # A run of this takes ten seconds of one core: half the width, four blocks, sixteen documents.
    "small": Design(
        {"num_documents": 16, "width": 96, "heads": 6, "feed_forward": 384, "depth": 4, "lr": 1e-3},
        {
            "adam": {},
            "sgd": {"optimizer": "sgd", "lr": 0.05},
            "steps-5": {"steps": 5},
            "steps-20": {"steps": 20},
            "width-48": {"width": 48, "feed_forward": 192},
            "depth-2": {"depth": 2},
        },
        {
            "steps-5": {"steps": 5},
            "steps-20": {"steps": 20},
            "reshuffled": {"schedule": "reshuffled"},
            "documents-12": {"num_documents": 12},
            "epochs-6": {"epochs": 6},
        },
    ),
    # The preset itself: about a minute of one core each.
    "embedded": Design(
        {},
        {"adam": {}, "sgd": {"optimizer": "sgd", "lr": 0.03}},
        {
            "steps-5": {"steps": 5},
            "reshuffled": {"schedule": "reshuffled"},
            "documents-20": {"num_documents": 20},
        },
    ),
}


def configuration(name: str, seed: int, design: str = "small") -> RunConfig:
    """The configuration of a run.

    Raises:
        InputError: for a design or a run that does not exist.
    """
    from llm import preset

    if design not in DESIGNS:
        raise InputError(
            f"there is no design {design!r}", expected="one of " + ", ".join(DESIGNS), fix="small"
        )
    chosen = DESIGNS[design]
    changes = {**chosen.runs, **chosen.interventions}
    if name not in changes:
        raise InputError(f"there is no run {name!r}", expected="one of " + ", ".join(changes), fix="adam")
    return replace(preset("embedded"), seed=seed, device="cpu", **{**chosen.base, **changes[name]})


def make(name: str, seed: int, folder: str | os.PathLike[str], design: str = "small") -> Run:
    """Train the run, or read it where it is already finished."""
    from llm import run

    return run(configuration(name, seed, design), Path(folder) / f"{name}-{seed}")
