"""What the claims measure, seed by seed: on recovery scores, and on what the probes of Figs. 8 to 18 find."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from figures.claims.worlds import NoCounterpart, World
from figures.evidence.lookup import MissingRuns
from figures.evidence.scores import last_score
from figures.panels.movement import turns_per_epoch
from toymodel.base.errors import InputError
from toymodel.measures.losses import LossMatrix
from toymodel.measures.online import online_loss
from toymodel.measures.recovery import recovery_score_per_task

__all__ = [
    "away",
    "blocks",
    "border",
    "by_epoch",
    "centre",
    "convergence",
    "diagonal",
    "document",
    "document_score",
    "each",
    "fall",
    "final_gap",
    "gap",
    "least",
    "near",
    "off",
    "online_fall",
    "online_ratio",
    "positive",
    "ratio",
    "scores",
    "spread",
    "stripe_width",
    "stripes",
    "symmetry",
    "turns",
]

Floats = NDArray[np.float64]
By = Callable[[World], dict[int, float]]
"""A measure: from a world to a number by seed."""


def document_score(losses: LossMatrix, n: int) -> float:
    """Recovery score of the document that is trained first, interval n."""
    scores = recovery_score_per_task(losses, n)
    return scores[int(losses.order[0, 0])].value


def scores(family: str, label: str) -> By:
    """Recovery score of the last epoch."""
    return lambda world: {seed: last_score(m) for seed, m in world.losses(family, label).items()}


def gap(family: str, more: str, less: str, other: str | None = None) -> By:
    """Score of one member less that of another, by seed."""

    def values(world: World) -> dict[int, float]:
        if other is not None:
            world.check_alike((family, more), (other, less))
        first, second = scores(family, more)(world), scores(other or family, less)(world)
        return {seed: first[seed] - second[seed] for seed in first if seed in second}

    return values


def least(family: str, labels: Sequence[str]) -> By:
    """Smallest score of several members."""

    def values(world: World) -> dict[int, float]:
        found = [scores(family, label)(world) for label in labels]
        return {seed: min(one[seed] for one in found) for seed in found[0] if all(seed in o for o in found)}

    return values


def spread(family: str, labels: Sequence[str]) -> By:
    """Largest score of several members less the smallest."""

    def values(world: World) -> dict[int, float]:
        found = [scores(family, label)(world) for label in labels]
        seeds = [seed for seed in found[0] if all(seed in one for one in found)]
        return {s: max(one[s] for one in found) - min(one[s] for one in found) for s in seeds}

    return values


def final_gap(family: str, worse: str, better: str) -> By:
    """Mean loss at the end, one member less another."""

    def values(world: World) -> dict[int, float]:
        one, two = world.losses(family, worse), world.losses(family, better)
        return {s: float(one[s].values[-1].mean() - two[s].values[-1].mean()) for s in one if s in two}

    return values


def online_ratio(pairs: Sequence[tuple[str, str, str]]) -> By:
    """Online loss in one order over that in another, epochs 2 on; the largest over networks that have both.

    Args:
        pairs: family, and the labels of its members in one order and in the other.
    """

    def values(world: World) -> dict[int, float]:
        found: dict[int, float] = {}
        missing: InputError | None = None
        for family, one, other in pairs:
            try:
                ratios = _online_ratios(world, family, one, other)
            except (MissingRuns, NoCounterpart) as error:
                missing = missing or error
                continue
            for seed, value in ratios.items():
                found[seed] = max(value, found.get(seed, -math.inf))
        if not found and missing is not None:
            raise missing
        return found

    return values


def online_fall(family: str, smaller: tuple[str, str], larger: tuple[str, str]) -> By:
    """How much lower the ratio of `online_ratio` is in a larger network than in a smaller one."""

    def values(world: World) -> dict[int, float]:
        small, large = (_online_ratios(world, family, *labels) for labels in (smaller, larger))
        return {seed: small[seed] - large[seed] for seed in small if seed in large}

    return values


def _online_ratios(world: World, family: str, one: str, other: str) -> dict[int, float]:
    first, second = world.losses(family, one), world.losses(family, other)
    return {
        seed: float(online_loss(first[seed])[1:].mean() / online_loss(second[seed])[1:].mean())
        for seed in first
        if seed in second
    }


def ratio(family: str, one: str, other: str) -> By:
    """Ratio of two members' scores."""

    def values(world: World) -> dict[int, float]:
        first, second = scores(family, one)(world), scores(family, other)(world)
        return {seed: first[seed] / second[seed] for seed in first if seed in second}

    return values


def document(family: str, label: str, n: int | None = None) -> By:
    """Score of the document that is trained first; of the last epoch if n is None."""

    def values(world: World) -> dict[int, float]:
        found = world.losses(family, label)
        return {seed: document_score(m, n or m.epochs - 1) for seed, m in found.items()}

    return values


def each(figure: str, measure: Callable[[Floats, int], float]) -> By:
    """A measure of the matrices of a figure; it is given T too."""

    def values(world: World) -> dict[int, float]:
        tasks = world.tasks(figure)
        return {seed: measure(matrix, tasks) for seed, matrix in world.matrices(figure).items()}

    return values


def off(matrix: Floats) -> Floats:
    """Entries off the diagonal."""
    return matrix[~np.eye(len(matrix), dtype=bool)]


def positive(matrix: Floats, tasks: int) -> float:
    """Part of the entries off the diagonal that are positive; the last document is left out."""
    return float((off(matrix[:-1, :-1]) > 0).mean())


def centre(matrix: Floats, tasks: int) -> float:
    """Mean off the diagonal in the middle third less that of the rest."""
    third = tasks // 3
    middle = np.zeros_like(matrix, dtype=bool)
    middle[third : tasks - third, third : tasks - third] = True
    off = ~np.eye(tasks, dtype=bool)
    return float(matrix[middle & off].mean() - matrix[~middle & off].mean())


def symmetry(matrix: Floats, tasks: int) -> float:
    """Correlation of entries that mirror each other at the diagonal."""
    rows, columns = np.triu_indices(tasks, 1)
    return float(np.corrcoef(matrix[rows, columns], matrix[columns, rows])[0, 1])


def away(matrix: Floats, tasks: int) -> float:
    """Mean recovery between neighbours 10 to 15 before the last document less that within 5 of either end."""
    near = np.abs(np.subtract.outer(np.arange(tasks), np.arange(tasks)))
    near = (near > 0) & (near <= 3)
    columns = np.arange(tasks)
    far = (columns >= tasks - 16) & (columns <= tasks - 11)
    ends = (columns < 5) | (columns >= tasks - 5)
    return float(matrix[near & far].mean() - matrix[near & ends].mean())


def border(matrix: Floats, tasks: int) -> float:
    """Mean recovery off the diagonal of the interior less that of a border 10 wide."""
    columns = np.arange(tasks)
    inner = (columns >= 10) & (columns < tasks - 10)
    both, off = np.outer(inner, inner), ~np.eye(tasks, dtype=bool)
    return float(matrix[both & off].mean() - matrix[~both & off].mean())


def near(matrix: Floats, tasks: int) -> float:
    """Mean recovery of documents up to 3 apart less that of documents further apart."""
    apart = np.abs(np.subtract.outer(np.arange(tasks), np.arange(tasks)))
    return float(matrix[(apart > 0) & (apart <= 3)].mean() - matrix[apart > 3].mean())


def diagonal(matrix: Floats, offset: int) -> float:
    """Mean of a diagonal."""
    return float(np.nanmean(np.diagonal(matrix, offset)))


def stripes(matrix: Floats, tasks: int) -> float:
    """Mean cosine one epoch apart less that half an epoch apart."""
    return diagonal(matrix, tasks) - diagonal(matrix, tasks // 2)


def stripe_width(matrix: Floats, tasks: int) -> float:
    """Mean cosine one epoch and two documents apart less that half an epoch apart."""
    return (diagonal(matrix, tasks + 2) + diagonal(matrix, tasks - 2)) / 2 - diagonal(matrix, tasks // 2)


def blocks(matrix: Floats, tasks: int) -> float:
    """Smallest rise, from one epoch to the next, of the mean cosine between states of an epoch."""
    states = matrix[1:, 1:]
    blocks = [
        off(states[e * tasks : (e + 1) * tasks, e * tasks : (e + 1) * tasks]).mean()
        for e in range(len(states) // tasks)
    ]
    return float(np.diff(blocks).min())


def turns(world: World) -> dict[int, float]:
    """Turns per epoch of Fig. 9's path."""
    return {seed: turns_per_epoch(points, world.tasks("9")) for seed, points in world.paths().items()}


def convergence(world: World) -> dict[int, float]:
    """Size of the last epoch's loop relative to the first one's."""
    tasks = world.tasks("9")
    found = {}
    for seed, points in world.paths().items():
        loops = points.reshape(-1, tasks, points.shape[1])
        size = np.sqrt(((loops - loops.mean(1, keepdims=True)) ** 2).sum(2).mean(1))
        found[seed] = float(size[-1] / size[0])
    return found


def by_epoch(figure: str) -> By:
    """Part of the variance of sizes that lies between epochs."""

    def values(world: World) -> dict[int, float]:
        tasks = world.tasks(figure)
        found = {}
        for seed, sizes in world.sizes(figure).items():
            epochs = sizes.reshape(-1, tasks)
            found[seed] = float(epochs.mean(1).var() / epochs.var())
        return found

    return values


def fall(figure: str) -> By:
    """Rank correlation of sizes with the episode."""

    def values(world: World) -> dict[int, float]:
        return {
            seed: float(spearmanr(np.arange(len(sizes)), sizes).statistic)
            for seed, sizes in world.sizes(figure).items()
        }

    return values
