"""The paper's claims as statements that data decide: measured in networks and in the toy, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from figures.curves import MissingRuns, last_score
from figures.fig09 import turns_per_epoch
from figures.runs import Runs
from figures.worlds import Networks, NoCounterpart, Toy, World
from toymodel.losses import LossMatrix
from toymodel.recovery import recovery_score_per_task

__all__ = ["CLAIMS", "Claim", "Verdict", "evaluate", "table"]

Floats = NDArray[np.float64]
State = Literal["holds", "does not hold", "not testable here"]
_CLEAR = 0.1  # a recovery score above this is called clear


@dataclass(frozen=True)
class Verdict:
    """What the data say about a claim.

    Attributes:
        state: ``holds`` if every seed says so, else ``does not hold``; ``not testable here`` without data.
        values: the measure by seed; empty if there are none.
        reason: why it is not testable, or which seeds have no value.
    """

    state: State
    values: tuple[float, ...] = ()
    reason: str = ""

    @property
    def mean(self) -> float:
        """Of the measure over seeds; NaN without any."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds (ddof 1); NaN for fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else math.nan

    def __str__(self) -> str:
        if not self.values:
            return self.reason or "no data"
        spread = f" ± {self.deviation:.2f}" if len(self.values) > 1 else ""
        seeds = f"{len(self.values)} seed{'s' * (len(self.values) > 1)}"
        return f"{self.mean:+.2f}{spread} ({seeds})" + (f"; {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Claim:
    """A statement and what decides it.

    Attributes:
        figure: of the paper.
        statement: what the paper says, so that it can be false.
        measure: what is measured, in words.
        values: by seed, in a world.
        above: the statement holds if the measure is larger than this,
        below: and smaller than this.
    """

    figure: str
    statement: str
    measure: str
    values: Callable[[World], Mapping[int, float]]
    above: float = 0.0
    below: float = math.inf

    def judge(self, world: World) -> Verdict:
        """Measure and decide."""
        try:
            found = self.values(world)
        except MissingRuns as error:
            return Verdict("not testable here", reason=str(error).rpartition("Fix: ")[2])
        except NoCounterpart:
            return Verdict("not testable here", reason="the toy has no counterpart")
        good = tuple(v for v in found.values() if math.isfinite(v))
        lost = len(found) - len(good)
        reason = f"{lost} seed(s) without a recovery score" if lost else ""
        if not good:
            return Verdict("not testable here", reason=reason or "no seed in common")
        holds = all(self.above < v < self.below for v in good)
        return Verdict("holds" if holds else "does not hold", good, reason)


def evaluate(runs: Runs) -> list[tuple[Claim, Verdict, Verdict]]:
    """Every claim with its verdict in the networks and in the toy."""
    networks, toy = Networks(runs), Toy()
    return [(claim, claim.judge(networks), claim.judge(toy)) for claim in CLAIMS]


def table(runs: Runs) -> str:
    """"Paper against ours" as text, one claim per line."""  # noqa: D400
    lines = []
    for claim, networks, toy in evaluate(runs):
        lines.append(f"{claim.figure:<8}{networks.state:<18}{claim.statement}")
        lines.append(f"{'':26}{claim.measure}: networks {networks}; toy {toy.state}: {toy}")
    return "\n".join(lines)


def _document_score(losses: LossMatrix, n: int) -> float:
    scores = recovery_score_per_task(losses, n)
    return scores[int(losses.order[0, 0])].value


def _scores(family: str, label: str) -> Callable[[World], dict[int, float]]:
    return lambda world: {seed: last_score(m) for seed, m in world.losses(family, label).items()}


def _gap(family: str, more: str, less: str, other: str | None = None) -> Callable[[World], dict[int, float]]:
    """Score of one member less that of another, by seed."""

    def values(world: World) -> dict[int, float]:
        first, second = _scores(family, more)(world), _scores(other or family, less)(world)
        return {seed: first[seed] - second[seed] for seed in first if seed in second}

    return values


def _least(family: str, labels: Sequence[str]) -> Callable[[World], dict[int, float]]:
    def values(world: World) -> dict[int, float]:
        found = [_scores(family, label)(world) for label in labels]
        return {seed: min(one[seed] for one in found) for seed in found[0] if all(seed in o for o in found)}

    return values


def _range(family: str, labels: Sequence[str]) -> Callable[[World], dict[int, float]]:
    def values(world: World) -> dict[int, float]:
        found = [_scores(family, label)(world) for label in labels]
        seeds = [seed for seed in found[0] if all(seed in one for one in found)]
        return {s: max(one[s] for one in found) - min(one[s] for one in found) for s in seeds}

    return values


def _final_gap(family: str, worse: str, better: str) -> Callable[[World], dict[int, float]]:
    def values(world: World) -> dict[int, float]:
        one, two = world.losses(family, worse), world.losses(family, better)
        return {s: float(one[s].values[-1].mean() - two[s].values[-1].mean()) for s in one if s in two}

    return values


def _ratio(family: str, one: str, other: str) -> Callable[[World], dict[int, float]]:
    def values(world: World) -> dict[int, float]:
        first, second = _scores(family, one)(world), _scores(family, other)(world)
        return {seed: first[seed] / second[seed] for seed in first if seed in second}

    return values


def _document(family: str, label: str, n: int | None = None) -> Callable[[World], dict[int, float]]:
    def values(world: World) -> dict[int, float]:
        found = world.losses(family, label)
        return {seed: _document_score(m, n or m.epochs - 1) for seed, m in found.items()}

    return values


def _each(figure: str, measure: Callable[[Floats, int], float]) -> Callable[[World], dict[int, float]]:
    def values(world: World) -> dict[int, float]:
        tasks = world.tasks(figure)
        return {seed: measure(matrix, tasks) for seed, matrix in world.matrices(figure).items()}

    return values


def _off(matrix: Floats) -> Floats:
    return matrix[~np.eye(len(matrix), dtype=bool)]


def _positive(matrix: Floats, tasks: int) -> float:
    return float((_off(matrix[:-1, :-1]) > 0).mean())


def _centre(matrix: Floats, tasks: int) -> float:
    """Mean off the diagonal in the middle third less that of the rest."""
    third = tasks // 3
    middle = np.zeros_like(matrix, dtype=bool)
    middle[third : tasks - third, third : tasks - third] = True
    off = ~np.eye(tasks, dtype=bool)
    return float(matrix[middle & off].mean() - matrix[~middle & off].mean())


def _symmetry(matrix: Floats, tasks: int) -> float:
    rows, columns = np.triu_indices(tasks, 1)
    return float(np.corrcoef(matrix[rows, columns], matrix[columns, rows])[0, 1])


def _away(matrix: Floats, tasks: int) -> float:
    """Mean recovery between neighbours 10 to 15 before the last document less that within 5 of either end."""
    near = np.abs(np.subtract.outer(np.arange(tasks), np.arange(tasks)))
    near = (near > 0) & (near <= 3)
    columns = np.arange(tasks)
    far = (columns >= tasks - 16) & (columns <= tasks - 11)
    ends = (columns < 5) | (columns >= tasks - 5)
    return float(matrix[near & far].mean() - matrix[near & ends].mean())


def _border(matrix: Floats, tasks: int) -> float:
    """Mean recovery off the diagonal of the interior less that of a border 10 wide."""
    columns = np.arange(tasks)
    inner = (columns >= 10) & (columns < tasks - 10)
    both, off = np.outer(inner, inner), ~np.eye(tasks, dtype=bool)
    return float(matrix[both & off].mean() - matrix[~both & off].mean())


def _near(matrix: Floats, tasks: int) -> float:
    """Mean recovery of documents up to 3 apart less that of documents further apart."""
    apart = np.abs(np.subtract.outer(np.arange(tasks), np.arange(tasks)))
    return float(matrix[(apart > 0) & (apart <= 3)].mean() - matrix[apart > 3].mean())


def _diagonal(matrix: Floats, offset: int) -> float:
    return float(np.nanmean(np.diagonal(matrix, offset)))


def _stripes(matrix: Floats, tasks: int) -> float:
    """Mean cosine one epoch apart less that half an epoch apart."""
    return _diagonal(matrix, tasks) - _diagonal(matrix, tasks // 2)


def _stripe_width(matrix: Floats, tasks: int) -> float:
    """Mean cosine one epoch and two documents apart less that half an epoch apart."""
    return (_diagonal(matrix, tasks + 2) + _diagonal(matrix, tasks - 2)) / 2 - _diagonal(matrix, tasks // 2)


def _blocks(matrix: Floats, tasks: int) -> float:
    """Smallest rise, from one epoch to the next, of the mean cosine between states of an epoch."""
    states = matrix[1:, 1:]
    blocks = [
        _off(states[e * tasks : (e + 1) * tasks, e * tasks : (e + 1) * tasks]).mean()
        for e in range(len(states) // tasks)
    ]
    return float(np.diff(blocks).min())


def _turns(world: World) -> dict[int, float]:
    return {seed: turns_per_epoch(points, world.tasks("9")) for seed, points in world.paths().items()}


def _convergence(world: World) -> dict[int, float]:
    """Size of the last epoch's loop relative to the first one's."""
    tasks = world.tasks("9")
    found = {}
    for seed, points in world.paths().items():
        loops = points.reshape(-1, tasks, points.shape[1])
        size = np.sqrt(((loops - loops.mean(1, keepdims=True)) ** 2).sum(2).mean(1))
        found[seed] = float(size[-1] / size[0])
    return found


def _by_epoch(figure: str) -> Callable[[World], dict[int, float]]:
    """Part of the variance of sizes that lies between epochs."""

    def values(world: World) -> dict[int, float]:
        tasks = world.tasks(figure)
        found = {}
        for seed, sizes in world.sizes(figure).items():
            epochs = sizes.reshape(-1, tasks)
            found[seed] = float(epochs.mean(1).var() / epochs.var())
        return found

    return values


def _fall(figure: str) -> Callable[[World], dict[int, float]]:
    def values(world: World) -> dict[int, float]:
        return {
            seed: float(spearmanr(np.arange(len(sizes)), sizes).statistic)
            for seed, sizes in world.sizes(figure).items()
        }

    return values


_SCORE = "recovery score"
_HEADS, _TS = ("2", "4", "8", "16"), ("10", "25", "50", "100", "200")

CLAIMS: tuple[Claim, ...] = (
    Claim("1a", "document 1 recovers more than half of its forgetting in the second epoch",
          f"{_SCORE} of document 1, epoch 1 to 2", _document("fig1", "fig1", 1), above=0.5),
    Claim("1b", "all documents on average recover clearly", f"{_SCORE}, last epoch", _scores("fig1", "fig1"),
          above=_CLEAR),
    Claim("2a", "pretrained: the largest network recovers more than the smallest",
          f"difference of {_SCORE}s, 2.8B less 160M", _gap("fig2a", "2.8b", "160m")),
    Claim("2b", "from random weights the largest network recovers more than the smallest",
          f"difference of {_SCORE}s, 2.8B's shape less 160M's", _gap("fig2b", "2.8b", "160m")),
    Claim("3a", "recovery rises with width", f"difference of {_SCORE}s, widest less narrowest",
          _gap("fig3-width", "2048", "256")),
    Claim("3b", "recovery rises with depth", f"difference of {_SCORE}s, deepest less shallowest",
          _gap("fig3-depth", "16", "4")),
    Claim("4a", "masking weakens recovery", f"difference of {_SCORE}s, none less up to 0.3",
          _gap("fig4-mask", "0.0", "0.3")),
    Claim("4a", "with masking up to 0.3 recovery is still clear", _SCORE, _scores("fig4-mask", "0.3"), above=_CLEAR),
    Claim("4b", "shifting the window weakens recovery", f"difference of {_SCORE}s, none less the largest",
          _gap("fig4-shift", "0", "128")),
    Claim("4b", "with the largest shift recovery is still clear", _SCORE, _scores("fig4-shift", "128"), above=_CLEAR),
    Claim("5a", "recovery is clear for every T from 10 to 200", f"smallest {_SCORE} of the five",
          _least("fig5-documents", _TS), above=_CLEAR),
    Claim("5b", "more gradient steps, more recovery", f"difference of {_SCORE}s, M = 20 less M = 5",
          _gap("fig5-steps", "20", "5")),
    Claim("5b", "there is no recovery at M = 1", _SCORE, _scores("fig5-steps", "1"), above=-math.inf, below=_CLEAR),
    Claim("5c", "longer contexts recover less", f"difference of {_SCORE}s, shortest less longest",
          _gap("fig5-context", "128", "1024")),
    Claim("5d", "freezing three quarters of the blocks weakens recovery",
          f"difference of {_SCORE}s, none less three quarters frozen", _gap("fig5-frozen", "0", "12")),
    Claim("6", "Adam recovers more than gradient descent", f"difference of {_SCORE}s", _gap("fig6", "adam", "gd")),
    Claim("8a", "gradients are mostly similar", "part of pairs with positive cosine, the last document left out",
          _each("8a", _positive), above=0.5),
    Claim("8a", "gradients are most similar near the centre", "cosine in the middle third less elsewhere",
          _each("8a", _centre)),
    Claim("8b", "the pairwise matrix is symmetric", "correlation of mirrored entries", _each("8b", _symmetry),
          above=0.5),
    Claim("8b", "documents near each other help each other more", "fall of loss up to 3 apart less further apart",
          _each("8b", _near)),
    Claim("8b", "recovery is strongest 10 to 15 documents before the last one trained",
          "fall of loss there less that near both ends", _each("8b", _away)),
    Claim("8c", "weight residuals one epoch apart are similar", "cosine one epoch apart less half an epoch apart",
          _each("8c", _stripes)),
    Claim("8c", "their stripes are several documents wide", "cosine two documents beside the stripe less half an epoch apart",
          _each("8c", _stripe_width)),
    Claim("8d", "activations are more similar in every epoch", "smallest rise of the mean cosine within an epoch",
          _each("8d", _blocks)),
    Claim("9", "the output layer turns once per epoch", "turns per epoch about its moving axis", _turns,
          above=0.8, below=1.2),
    Claim("9", "the helix converges", "size of the last loop over that of the first", _convergence, below=1.0),
    Claim("12", "with documents 2 to 24 shuffled, document 1 still recovers", f"{_SCORE} of document 1",
          _document("fig12", "24"), above=_CLEAR),
    Claim("13", "a tenfold rate brings recovery at M = 1", _SCORE, _scores("fig13", "0.01"), above=_CLEAR),
    Claim("14", "the number of heads has little effect", f"range of {_SCORE}s", _range("fig14", _HEADS),
          above=-math.inf, below=0.1),
    Claim("15", "Pythia's scheme recovers more than N(0, 0.02)", f"difference of {_SCORE}s",
          _gap("fig15", "pythia", "normal")),
    Claim("15", "Pythia's scheme fits better than N(0, 0.02)", "difference of the losses at the end (nats)",
          _final_gap("fig15", "normal", "pythia")),
    Claim("16a", "the same total update in more steps recovers more", f"difference of {_SCORE}s, M = 20 less M = 1",
          _gap("fig16a", "20", "1")),
    Claim("16b", "at four times the context, M = 40 restores the score", f"difference of {_SCORE}s to M = 10, short context",
          _gap("fig16b", "40", "fig1", other="fig1"), above=-0.05),
    Claim("17a", "activations move in steps from epoch to epoch", "part of the variance that lies between epochs",
          _by_epoch("17a"), above=0.5),
    Claim("17b", "weight updates shrink monotonically", "rank correlation with the episode", _fall("17b"),
          above=-math.inf, below=-0.8),
    *(Claim(figure, f"T = {T}: little recovery in a border about 10 documents wide",
            "fall of loss inside less in the border", _each(figure, _border))
      for figure, T in (("18a", 50), ("18b", 100), ("18c", 200))),
    Claim("sec4", "with neighbours reversed, recovery is nearly the same", f"ratio of {_SCORE}s, reversed to cyclic",
          _ratio("sec4", "reversed", "cyclic"), above=0.8),
    Claim("control", "recovery needs the order to repeat", f"difference of {_SCORE}s, cyclic less reshuffled every epoch",
          _gap("control", "cyclic", "reshuffled"), above=0.0),
)  # fmt: skip
"""In the order of the paper's figures; the last one is a control that the paper lacks."""
