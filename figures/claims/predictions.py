"""What docs/predictions.md said before the runs were made, measured in them: hit or miss, with an interval.

python -m figures.claims.predictions [RUNS]      # the recorded runs if no folder is given
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.studies.chosen import FOLDER, KINDS, Chosen, load_chosen
from figures.claims.crossing import found_crossing, kept_crossing, named_crossing, over_found
from figures.evidence.collection import RECORDED, Runs, recorded
from figures.panels.movement import path, turns_per_epoch
from llm.presets import family
from llm.runs.finished import Run
from toymodel import LossMatrix, intervals, online_loss, recovery_scores
from toymodel.measures.recovery import visits
from toymodel.measures.schedules import spaced

__all__ = [
    "PREDICTIONS", "Outcome", "Prediction", "chosen_table", "orders", "outcomes", "peak_place", "spacing",
    "table",
]  # fmt: skip

ByOrder = Mapping[str, Mapping[int, Run]]
Measure = Callable[[ByOrder], dict[int, float]]
# Intervals shorter than this have no place for a peak.
_SHORT = 5


def orders(runs: Runs, choices: Sequence[Chosen] = ()) -> dict[str, dict[int, Run]]:
    """Runs of the embedded network by order and seed, the long ones as ``cyclic, long``.

    Args:
        runs: to look in.
        choices: orders that the toy chose, as ``best`` and ``worst``.
    """
    found = {
        preset.label + suffix: {run.config.seed: run for run in runs.member(preset).runs}
        for name, suffix in (("orders-embedded", ""), ("crossing-embedded", ", long"))
        for preset in family(name)
    }
    by_id = {run.config.id: run for run in runs}
    for kind in KINDS:
        wanted = {one.seed: one.config(kind).id for one in choices}
        found[kind] = {seed: by_id[name] for seed, name in wanted.items() if name in by_id}
    return found


def _each(label: str, of: Callable[[Run], float]) -> Measure:
    return lambda found: {seed: of(run) for seed, run in found[label].items()}


def _compare(
    label: str, other: str, of: Callable[[Run], float], how: Callable[[float, float], float]
) -> Measure:
    """Seeds that both orders have: the same documents and initial weights."""

    def measure(found: ByOrder) -> dict[int, float]:
        return {
            seed: how(of(run), of(found[other][seed]))
            for seed, run in found[label].items()
            if seed in found[other]
        }

    return measure


def _over(one: float, other: float) -> float:
    return one / other


def _less(one: float, other: float) -> float:
    return one - other


def _turns(run: Run) -> float:
    return turns_per_epoch(path(run)[0], run.losses.tasks)


def _online(run: Run) -> float:
    return float(online_loss(run.losses)[1:].mean())


def _end(run: Run) -> float:
    return float(run.losses.values[-1].mean())


def _score(run: Run) -> float:
    return recovery_scores(run.losses)[-1].value


def _place(run: Run) -> float:
    return peak_place(run.losses)


def peak_place(losses: LossMatrix) -> float:
    """Where the largest loss between two visits lies, as a part of the way; mean over all long intervals."""
    found = []
    rows = visits(losses)
    for n in range(1, max(map(len, rows))):
        part = intervals(losses, n)
        for task, peak in zip(part.task, part.peak_row, strict=True):
            after, before = rows[task][n - 1] + 1, rows[task][n]
            if before - after >= _SHORT:
                found.append((peak - after) / (before - after))
    return float(np.mean(found)) if found else math.nan


def spacing(losses: LossMatrix) -> tuple[float, float, float]:
    """What staying away for two epochs does, in the schedule ``spaced``.

    Returns:
        Loss of the spaced tasks before their second visit over that of the others before their second, and
        before their third (which is at the same time); recovery score of the spaced at that return less that
        of the others. The tasks that are trained twice in their place are left out.
    """
    absent = np.setdiff1d(np.arange(losses.tasks), spaced(losses.tasks, 2, np.random.default_rng(0))[1])
    others = np.setdiff1d(np.arange(losses.tasks), np.concatenate([absent, absent + 1]))

    def parts(tasks: NDArray[np.int64], n: int) -> tuple[float, float, float]:
        part = intervals(losses, n)
        here = np.isin(part.task, tasks)
        return float(part.after[here].mean()), float(part.peak[here].mean()), float(part.before[here].mean())

    away, once, twice = parts(absent, 1), parts(others, 1), parts(others, 2)

    def score(after: float, peak: float, before: float) -> float:
        return (peak - before) / (peak - after)

    return away[2] / once[2], away[2] / twice[2], score(*away) - score(*twice)


@dataclass(frozen=True)
class Prediction:
    """One line of docs/predictions.md.

    Attributes:
        number: there, of its table; of the crossing in words.
        statement: what is measured.
        low: of the predicted range.
        high: of it.
        measure: by seed, from runs by order.
    """

    number: int | str
    statement: str
    low: float
    high: float
    measure: Measure


PREDICTIONS: tuple[Prediction, ...] = (
    Prediction(1, "turns per epoch, cyclic", 0.85, 1.05, _each("cyclic", _turns)),
    Prediction(2, "turns per epoch, palindrome", 0.0, 0.15, _each("palindrome", _turns)),
    Prediction(3, "turns per epoch, reshuffled", 0.0, 0.7, _each("reshuffled", _turns)),
    Prediction(4, "place of the peak, palindrome", 0.50, 0.68, _each("palindrome", _place)),
    Prediction(5, "place of the peak, palindrome less cyclic", -0.08, 0.08,
               _compare("palindrome", "cyclic", _place, _less)),
    Prediction(6, "online loss, cyclic over reshuffled", 0.90, 1.0,
               _compare("cyclic", "reshuffled", _online, _over)),
    Prediction(7, "online loss, shuffled once over reshuffled", 0.90, 1.0,
               _compare("shuffled-once", "reshuffled", _online, _over)),
    Prediction(8, "online loss, palindrome over cyclic", 0.92, 1.0,
               _compare("palindrome", "cyclic", _online, _over)),
    Prediction(9, "loss at the end, cyclic over reshuffled", 1.0, 1.4,
               _compare("cyclic", "reshuffled", _end, _over)),
    Prediction(10, "loss at the end, palindrome over cyclic", 1.0, 1.35,
               _compare("palindrome", "cyclic", _end, _over)),
    Prediction(11, "last recovery score, palindrome less cyclic", -0.05, 0.15,
               _compare("palindrome", "cyclic", _score, _less)),
    Prediction(12, "spaced: loss before the second visit over the others' second", 0.85, 1.05,
               _each("spaced", lambda run: spacing(run.losses)[0])),
    Prediction(13, "spaced: the same over the others' third, at the same time", 1.0, 1.4,
               _each("spaced", lambda run: spacing(run.losses)[1])),
    Prediction(14, "spaced: recovery score less the others'", -0.05, 0.25,
               _each("spaced", lambda run: spacing(run.losses)[2])),
    Prediction(15, "weight decay: last recovery score less that without", -0.30, -0.01,
               _compare("decay", "cyclic", _score, _less)),
    Prediction(16, "weight decay: online loss over that without", 1.0, 1.3,
               _compare("decay", "cyclic", _online, _over)),
    Prediction(17, "loss at the end, best order over worst", 0.60, 0.98,
               _compare("best", "worst", _end, _over)),
    Prediction(18, "online loss, best order over worst", 0.88, 1.05,
               _compare("best", "worst", _online, _over)),
    # Between epochs 6 and 20, or not within the twelve.
    Prediction("crossing", "epoch in which online losses cross", 6.0, math.inf, found_crossing),
    Prediction("named", "epoch named from two epochs, over that found", 0.75, 1.25,
               over_found(named_crossing)),
    Prediction("shares kept", "the same, with the shares of the second epoch", 0.75, 1.25,
               over_found(kept_crossing)),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of a prediction.

    Attributes:
        prediction: which.
        values: by seed.
    """

    prediction: Prediction
    values: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Over seeds; NaN without runs."""
        return float(np.mean(list(self.values.values()))) if self.values else math.nan

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% interval of the mean (Student's t); None for fewer than two seeds, or a seed without end."""
        if len(self.values) < 2 or not math.isfinite(self.mean):
            return None
        from scipy.special import stdtrit

        found = np.array(list(self.values.values()))
        reach = float(stdtrit(len(found) - 1, 0.975) * found.std(ddof=1) / np.sqrt(len(found)))
        return self.mean - reach, self.mean + reach

    @property
    def verdict(self) -> str:
        """``hit``, ``clear hit``, ``miss``, ``clear miss`` (the interval lies outside) or ``not run``."""
        low, high = self.prediction.low, self.prediction.high
        if not self.values:
            return "not run"
        word = "hit" if low <= self.mean <= high else "miss"
        if self.interval is None:
            return word
        inside = low <= self.interval[0] and self.interval[1] <= high
        outside = self.interval[1] < low or self.interval[0] > high
        return f"clear {word}" if (inside if word == "hit" else outside) else word


def outcomes(runs: Runs, choices: Sequence[Chosen] = ()) -> list[Outcome]:
    """Every prediction beside what was found."""
    found = orders(runs, choices)
    return [Outcome(one, one.measure(found)) for one in PREDICTIONS]


def table(runs: Runs, choices: Sequence[Chosen] = ()) -> str:
    """All outcomes as a table of Markdown."""
    lines = [
        "| | measured | predicted | found by seed | mean, 95% interval | |", "|---|---|---|---|---|---|"
    ]  # fmt: skip
    for one in outcomes(runs, choices):
        each = " ".join(_number(one.values[seed], 2) for seed in sorted(one.values)) or "-"
        mean = _number(one.mean, 3) if one.values else "-"
        if one.interval is not None:
            mean += f" ({one.interval[0]:.3f} to {one.interval[1]:.3f})"
        said = one.prediction
        verdict = f"**{one.verdict}**" if "miss" in one.verdict else one.verdict
        reach = f"{said.low:.2f} to {said.high:.2f}" if said.high < math.inf else f"{said.low:.2f} or later"
        lines.append(f"| {said.number} | {said.statement} | {reach} | {each} | {mean} | {verdict} |")
    return "\n".join(lines)


def _number(value: float, digits: int) -> str:
    return "never" if math.isinf(value) else f"{value:.{digits}f}"


def chosen_table(found: ByOrder, choices: Sequence[Chosen]) -> str:
    """What the toy expects of every fixed order that was run, beside what was found, as a table of Markdown.

    Losses at the end: the toy's over that of its random orders, the network's over the mean of its orders.
    """
    lines = ["| seed | order | toy, over random | network, over the mean |", "|---|---|---|---|"]
    for one in choices:
        runs = {name: found[name][one.seed] for name in (*KINDS, "cyclic", "shuffled-once")
                if one.seed in found[name]}  # fmt: skip
        expected = one.values([run.losses.order[0].tolist() for run in runs.values()]) / one.random_mean
        ends = np.array([_end(run) for run in runs.values()])
        for name, toy, end in zip(runs, expected, ends / ends.mean(), strict=True):
            lines.append(f"| {one.seed} | {name} | {toy:.3f} | {end:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, from the recorded runs or from a folder of others."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("runs", nargs="?", type=Path, help="folder of run folders")
    folder = parser.parse_args().runs
    runs = recorded() if folder is None else Runs.load(folder)
    place = RECORDED / "orders" / FOLDER if folder is None else folder
    choices = load_chosen(place)
    if folder is None and choices:
        runs = Runs([*runs, *Runs.load(place)])
    print(table(runs, choices))
    if choices:
        print("\n" + chosen_table(orders(runs, choices), choices))


if __name__ == "__main__":
    main()
