"""How far fits reach beyond what they saw: other orders of the same network, and longer training.

``python -m bridge.studies.beyond --runs figures/recorded`` prints both tables of docs/predicted-runs.md:
every run in cyclic order predicts those that differ from it in the order alone, and the first epochs of every
run its last two, with how often 95% intervals hold what was found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bridge.estimate.choice import FOUR
from bridge.estimate.fit import fit
from bridge.judge.ahead import epochs_ahead
from bridge.judge.identity import identify, relate
from bridge.judge.predictions import predict
from bridge.model.mechanism import Mechanism
from bridge.studies.recorded import finished_runs
from llm.runs.finished import Run
from toymodel import InputError, online_loss, recovery_scores

__all__ = ["Ahead", "Predicted", "longer", "main", "orders"]

FORMS: Mapping[str, Mechanism | None] = {
    "chosen": None,
    "four numbers": FOUR,
    "and interference": replace(FOUR, interference=True),
}
# What says nothing of which network it was, or is what is predicted.
_FREE = {"schedule", "order", "shuffle_until", "reverse_block", "device", "probes", "probe_documents",
         "probe_layer"}  # fmt: skip


@dataclass(frozen=True)
class Predicted:
    """A run predicted from the same network in cyclic order.

    Attributes:
        schedule: of the predicted run.
        network: model and optimizer.
        seed: of both.
        r2: by form.
        null: as if nothing had changed.
    """

    schedule: str
    network: str
    seed: int
    r2: Mapping[str, float]
    null: float


def orders(runs: Iterable[Run], forms: Mapping[str, Mechanism | None] = FORMS) -> list[Predicted]:
    """Predict every run that differs from a cyclic one in its order alone."""
    twins: dict[str, list[Run]] = {}
    for run in runs:
        settings = {k: v for k, v in run.config.to_json().items() if k not in _FREE}
        twins.setdefault(json.dumps(settings, sort_keys=True), []).append(run)
    found = []
    for group in twins.values():
        others = [run for run in group if run.config.schedule != "cyclic"]
        cyclic = [run for run in group if run.config.schedule == "cyclic"]
        if not cyclic or not others:
            continue
        base = cyclic[-1]
        fits = {name: fit(base.losses, form, intervals_by="none") for name, form in forms.items()}
        for run in others:
            change = relate(identify(base.path, base.losses), identify(run.path, run.losses))
            guesses = {name: predict(result, run.losses, change) for name, result in fits.items()}
            found.append(Predicted(
                run.config.schedule, f"{run.config.model}, {run.config.optimizer}", run.config.seed,
                {name: guess.r2 for name, guess in guesses.items()}, next(iter(guesses.values())).null_r2,
            ))  # fmt: skip
    return found


@dataclass(frozen=True)
class Ahead:
    """Two held-out epochs of one run and the intervals for them.

    Attributes:
        run: its name.
        inside: whether each interval held what was found, by quantity.
        width: of each interval over what was found (of scores, as they are).
        error: of the predicted value, likewise.
    """

    run: str
    inside: Mapping[str, Sequence[bool]]
    width: Mapping[str, Sequence[float]]
    error: Mapping[str, Sequence[float]]


def longer(runs: Iterable[Run], held_out: int = 2, draws: int = 60) -> list[Ahead]:
    """Predict the last epochs of every run that repeats its order, from a fit to the others."""
    found = []
    for run in runs:
        losses = run.losses
        seen = losses.epochs - held_out
        if seen < 2 or not (losses.order == losses.order[0]).all():
            continue
        try:
            ahead = epochs_ahead(fit(losses.first_epochs(seen), intervals_by="none"), held_out, draws=draws)
        except InputError:  # too few documents, or losses that do not change
            continue
        ends = losses.tasks * np.arange(seen + 1, losses.epochs + 1)
        truths = {
            "mean loss after the epoch": losses.values[ends].mean(1),
            "loss right before training": online_loss(losses)[seen:],
            "recovery score": np.array([s.value for s in recovery_scores(losses)][seen - 1 :]),
        }
        inside: dict[str, list[bool]] = {}
        width: dict[str, list[float]] = {}
        error: dict[str, list[float]] = {}
        columns = (ahead.after, ahead.before, ahead.scores)
        for (name, truth), intervals in zip(truths.items(), columns, strict=True):
            for value, interval in zip(truth, intervals, strict=True):
                if interval.value is None or not np.isfinite(value):
                    continue
                unit = 1.0 if name == "recovery score" else max(abs(float(value)), 1e-12)
                inside.setdefault(name, []).append(interval.low <= value <= interval.high)
                width.setdefault(name, []).append((interval.high - interval.low) / unit)
                error.setdefault(name, []).append(abs(interval.value - value) / unit)
        found.append(Ahead(run.name, inside, width, error))
    return found


def main(runs: Path = Path("figures/recorded"), every: int = 1) -> None:
    """Predict other orders and further epochs, and print what became of it.

    Args:
        runs: Folder of run folders or packed results.
        every: Of packed results only every n-th, for longer training.
    """
    known = list(finished_runs(runs))
    rows = orders(known)
    print("| order | network | seed | " + " | ".join(FORMS) + " | as if nothing changed |")
    print("|---" * (4 + len(FORMS)) + "|")
    for row in rows:
        cells = [row.schedule, row.network, str(row.seed), *(f"{row.r2[name]:.3f}" for name in FORMS)]
        print("| " + " | ".join([*cells, f"{row.null:.3f}"]) + " |")
    folders = [run for run in known if run.path.is_dir()]
    packed = [run for run in known if not run.path.is_dir()][::every]
    print("\n| runs | quantity | epochs | inside | median width | median error |\n|---|---|---|---|---|---|")
    for title, group in (("run folders", folders), ("packed", packed)):
        judged = longer(group)
        for name in ("mean loss after the epoch", "loss right before training", "recovery score"):
            inside = [x for row in judged for x in row.inside.get(name, ())]
            width = [x for row in judged for x in row.width.get(name, ())]
            error = [x for row in judged for x in row.error.get(name, ())]
            if inside:
                print(f"| {len(judged)} {title} | {name} | {len(inside)} | {np.mean(inside):.2f} "
                      f"| {np.median(width):.2f} | {np.median(error):.3f} |")  # fmt: skip


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
