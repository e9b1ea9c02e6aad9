"""Which order was it, asked of every recorded run whose order is known.

``python -m bridge.studies.which_order --runs figures/recorded`` prints how often the losses before each step
alone tell whether documents came in the same order, reshuffled, or displaced by a resumed run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.orders.evidence import HYPOTHESES, order_evidence
from bridge.orders.power import displaced
from bridge.studies.recorded import finished_runs
from llm.config import RunConfig
from llm.presets import family
from llm.runs.finished import Run
from toymodel import InputError
from toymodel.measures.schedules import each_once

__all__ = ["FOLDER", "Told", "judge", "main", "resumed", "table", "truth"]

FOLDER = "resumed"
"""Where the recorded runs of `resumed` are kept."""
# At which step it was resumed, and by how many of 25 documents the data moved: to the first; ahead by 4.
_RESUMED = ((68, -68 % 25), (60, 4))


def resumed(seeds: tuple[int, ...] = (0, 1, 2)) -> list[RunConfig]:
    """Small networks in the order that a loader gives which began anew when resumed, or skipped data."""
    configs = []
    for seed in seeds:
        for preset in family("fig6-small"):
            for step, shift in _RESUMED:
                config = replace(preset.config, seed=seed, probes=())
                tasks = config.num_documents
                order = displaced(config.epochs * tasks, tasks, step, shift).reshape(-1, tasks)
                configs.append(replace(config, order=json.dumps(order.tolist())))
    return configs


def truth(run: Run) -> str | None:
    """Which of `HYPOTHESES` a run's order is; None where it is none of them."""
    order, tasks = run.losses.order, run.losses.tasks
    if run.config.schedule in ("reshuffled", "iid"):
        return "reshuffled"
    if each_once(order) and (order == order[0]).all():
        return "same order"
    step, shift = _displacement(order)
    moved = run.config.schedule == "given" and shift > 0
    return (
        "displaced" if moved and (order.ravel() == displaced(order.size, tasks, step, shift)).all() else None
    )


def _displacement(order: NDArray[np.int64]) -> tuple[int, int]:
    """Where an order leaves the cyclic one, and by how many tasks."""
    tasks = order.shape[1]
    step = int((order.ravel() == np.arange(order.size) % tasks).argmin())
    return step, int(order.flat[step] - step) % tasks


@dataclass(frozen=True)
class Told:
    """What was told of one run.

    Attributes:
        network: which kind.
        schedule: how its documents came.
        truth: which of `HYPOTHESES` that is.
        verdict: the one told, or ``undecided``.
        likeliest: the one of most evidence.
        off: steps between the true place of a displacement and the one told; None where the data moved by
            another number of documents, and of runs that are not displaced.
    """

    network: str
    schedule: str
    truth: str
    verdict: str
    likeliest: str
    off: int | None = None


def judge(runs: Iterable[Run]) -> list[Told]:
    """Ask of every run whose order is one of `HYPOTHESES`."""
    found = []
    for run in runs:
        known = truth(run)
        if known is None:
            continue
        try:
            said = order_evidence(run.losses)
        except InputError:  # too few documents, or losses that follow their trend
            continue
        step, shift = _displacement(run.losses.order)
        off = abs(said.step - step) if known == "displaced" and said.shift == shift else None
        found.append(
            Told(_network(run.config), run.config.schedule, known, said.verdict, said.likeliest, off)
        )
    return found


def _network(config: RunConfig) -> str:
    if config.model.startswith("embedded"):
        size = "embedded preset" if config.width is None else "some 10^5 weights"
    else:
        size = "Pythia, SmolLM2"
    kind = size if config.task == "language" else "images"
    return f"{kind}, {'plain descent' if config.optimizer == 'sgd' else 'Adam'}"


def table(told: Iterable[Told]) -> str:
    """How many were told right, not at all and wrong, as a table of Markdown."""
    groups: dict[tuple[str, str, str], list[Told]] = {}
    for one in told:
        groups.setdefault((one.truth, one.schedule, one.network), []).append(one)
    lines = ["| truth | order | network | runs | right | undecided | wrong | likeliest is right |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for (known, schedule, network), group in sorted(
        groups.items(), key=lambda item: (HYPOTHESES.index(item[0][0]), *item[0][1:])
    ):
        lines.append(_row(f"{known} | {schedule} | {network}", group))
    lines.append(_row("all | | ", [one for group in groups.values() for one in group]))
    return "\n".join(lines)


def _row(name: str, group: list[Told]) -> str:
    verdicts = Counter(
        "right" if one.verdict == one.truth else "undecided" if one.verdict == "undecided" else "wrong"
        for one in group
    )
    likeliest = sum(one.likeliest == one.truth for one in group)
    counts = " | ".join(str(verdicts[key]) for key in ("right", "undecided", "wrong"))
    return f"| {name} | {len(group)} | {counts} | {likeliest} |"


def main(runs: Path = Path("figures/recorded")) -> None:
    """Ask of every run of a folder which order it was, and print how often the answer is right.

    Args:
        runs: Folder of run folders or packed results.
    """
    told = judge(finished_runs(runs))
    print(table(told))
    displaced = [one for one in told if one.truth == "displaced"]
    if displaced:
        off = sorted(one.off for one in displaced if one.off is not None)
        print(f"moved by as many documents as told in {len(off)} of {len(displaced)}, at a step off by "
              + " ".join(map(str, off)))  # fmt: skip


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
