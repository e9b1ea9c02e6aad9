"""Which recorded runs the explorer offers, and the numbers fitted to them.

The numbers are computed by ``python -m figures.explorer.fits`` and kept in ``fits.json`` beside this file,
each with the hash of the losses it belongs to: one that does not fit its run is refused, never shown.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figures.evidence.runs import Runs, recorded
from figures.explorer.runs import ShownRun, describe, four_numbers, identifier
from llm.presets import family
from llm.runs.finished import Run
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write
from toymodel.measures.losses import LossMatrix

__all__ = ["EXAMPLES", "recorded_runs", "refit"]

STORE = Path(__file__).with_name("fits.json")

SMALL = (
    "fig1-small", "fig6-adam-small", "control-reshuffled-small", "control-iid-small", "fig12-24-small",
    "fig5-steps-20-small", "fig5-documents-10-small", "fig5-documents-50-small", "fig7b-vit-embedded",
)  # fmt: skip
"""Presets of small networks that are offered, one seed each; of real networks every recorded run is."""

EXAMPLES = (("Pythia-1B with Adam", "pythia-1b-adam-seed0"), ("a small network", "fig1-small"))
"""Links in the head of the page: words, and the run they show."""

_PAPER, _SMALL = "Published shapes, on one GPU", "Small networks, on two cores"


def offered(runs: Runs) -> Iterator[tuple[str, str, Run]]:
    """What is shown of the recorded runs: id, group and run."""
    for run in runs:
        if run.path.is_dir():
            yield identifier(run.name), _PAPER, run
    for name in SMALL:
        found = runs.member(family(name)[0]).runs
        if found:
            yield name, _SMALL, found[0]


def recorded_runs() -> list[ShownRun]:
    """The recorded runs with their stored numbers.

    Raises:
        InputError: when a run has no numbers, or those of other losses.
    """
    stored = json.loads(STORE.read_text(encoding="utf-8"))
    return [_shown(key, group, run, stored.get(key)) for key, group, run in offered(recorded())]


def refit(progress: bool = False) -> dict[str, dict[str, Any]]:
    """Fit every run that is offered, and store the numbers."""
    fits = {}
    for key, _, run in offered(recorded()):
        numbers, found = four_numbers(run.losses)
        fits[key] = {"losses": _digest(run.losses), "numbers": numbers, "r2": found.r2}
        if progress:
            words = "  ".join(f"{name} {value:.3f}" for name, value in numbers.items())
            print(f"{key:<34}R2 {found.r2:.3f}  {words}", file=sys.stderr)
    with atomic_write(STORE, "w") as file:
        json.dump(fits, file, indent=1)
        file.write("\n")
    return fits


def _shown(key: str, group: str, run: Run, stored: dict[str, Any] | None) -> ShownRun:
    if stored is None or stored["losses"] != _digest(run.losses):
        raise InputError(f"{STORE.name} holds no numbers of {key}'s losses",
                         expected="the numbers fitted to the recorded run as it is",
                         fix="python -m figures.explorer.fits")  # fmt: skip
    name, facts = describe(run.config)
    return ShownRun(key, name, group, run.losses, stored["numbers"],
                    f"{facts} R² of the fit {stored['r2']:.3f} over all losses.")  # fmt: skip


def _digest(losses: LossMatrix) -> str:
    return hashlib.sha256(losses.values.astype("<f8").tobytes()).hexdigest()[:16]


if __name__ == "__main__":
    refit(progress=True)
