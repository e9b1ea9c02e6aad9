"""Which recorded runs the explorer offers, and the numbers fitted to them.

The numbers are computed by ``python -m figures.explorer.fits`` and kept in ``fits.json`` beside this file,
each with the hash of the losses it belongs to. A run without numbers of its own losses is fitted when it is
asked for: slower, never wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bridge import fit
from figures.evidence.collection import Runs, recorded
from figures.explorer.shown import ShownRun, describe, identifier, numbers_of, words_of
from llm.presets import family
from llm.runs.finished import Run
from toymodel.base.files import atomic_write
from toymodel.measures.losses import LossMatrix

__all__ = ["EXAMPLES", "recorded_runs", "refit"]

STORE = Path(__file__).with_name("fits.json")

SMALL = (
    "fig1-small", "fig6-adam-small", "control-reshuffled-small", "control-iid-small", "fig12-24-small",
    "fig5-steps-20-small", "fig5-documents-10-small", "fig5-documents-50-small", "fig7b-vit-embedded",
)  # fmt: skip
"""Presets of small networks that are offered, one seed each; of real networks every recorded run is."""

EXAMPLES = (("Pythia-1B, Adam", "pythia-1b-adam-seed0"), ("Pythia-1B, SGD", "pythia-1b-sgd-seed0"))
"""Links in the head of the page: words, and the run they show."""

_PUBLISHED, _SMALL = "Networks of published shapes", "Small networks"


def offered(runs: Runs) -> Iterator[tuple[str, str, Run]]:
    """What is shown of the recorded runs: id, group and run."""
    for run in runs:
        if run.path.is_dir():
            yield identifier(run.name), _PUBLISHED, run
    for name in SMALL:
        found = runs.member(family(name)[0]).runs
        if found:
            yield name, _SMALL, found[0]


def recorded_runs() -> list[ShownRun]:
    """The recorded runs at their fits."""
    stored = json.loads(STORE.read_text(encoding="utf-8"))
    result = []
    for key, group, run in offered(recorded()):
        found = stored.get(key)
        if found is None or found["losses"] != _digest(run.losses):
            found = _fitted(run.losses)
        name, facts = describe(run.config)
        words = words_of(facts, found["r2"])
        result.append(ShownRun(key, name, group, run.losses, found["numbers"], found["scales"], words))
    return result


def refit(out: Path = STORE, progress: bool = False) -> dict[str, dict[str, Any]]:
    """Fit every run that is offered and store the numbers, where this package reads them if not told."""
    fits = {}
    for key, _, run in offered(recorded()):
        fits[key] = _fitted(run.losses)
        if progress:
            words = "  ".join(f"{name} {value:.3f}" for name, value in fits[key]["numbers"].items())
            print(f"{key:<38}R2 {fits[key]['r2']:.3f}  {words}", file=sys.stderr)
    with atomic_write(out, "w") as file:
        json.dump(fits, file, indent=1)
        file.write("\n")
    return fits


def _fitted(losses: LossMatrix) -> dict[str, Any]:
    found = fit(losses, intervals_by="none")
    numbers, scales = numbers_of(found), found.scales().tolist()
    return {"losses": _digest(losses), "numbers": numbers, "scales": scales, "r2": found.r2}


def _digest(losses: LossMatrix) -> str:
    return hashlib.sha256(losses.values.astype("<f8").tobytes()).hexdigest()[:16]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fit the recorded runs that the explorer offers.")
    parser.add_argument("--out", type=Path, default=STORE, help="file of the numbers (the explorer's own)")
    refit(parser.parse_args().out, progress=True)
