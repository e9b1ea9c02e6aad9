"""Several ways in which losses might go on, each fitted to a run's first epochs: which of them they do.

``python -m bridge.studies.ways drift --runs figures/recorded/h100`` asks whether the slow share falls with
visits or with the loss: it goes on falling with every epoch; it stays what it was in the last epoch seen; or
both shares move with the log of the loss that an episode meets, as a kernel that grows while the network
learns would have them. ``sharing`` asks whether all documents train all directions, or a part of them that is
uniform between 0 and 1, or drawn from Beta(g, 1). The later epochs are predicted by the mechanism alone.
``--whole`` fits all epochs in place of three and judges the curves by lag and the dips before a return;
``--plot FILE.png`` draws the curves.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bridge.estimate.choice import FIVE
from bridge.estimate.fit import fit
from bridge.judge.curves import lag_curves, r_squared_of_curves
from bridge.model.mechanism import Mechanism
from bridge.studies.forms import dips
from bridge.studies.little import find_runs
from toymodel import LossMatrix
from toymodel.base.files import atomic_write, check_output
from toymodel.measures.agreement import r_squared

__all__ = ["QUESTIONS", "Studied", "Way", "main", "plot", "study"]


@dataclass(frozen=True)
class Way:
    """One way in which losses might go on.

    Attributes:
        form: what is fitted.
        stays: shares stay what they were in the last epoch seen.
    """

    form: Mechanism
    stays: bool = False


QUESTIONS: dict[str, dict[str, Way]] = {
    "drift": {
        "share goes on falling": Way(FIVE),
        "share stays": Way(FIVE, stays=True),
        "shares move with the loss": Way(replace(FIVE, drift="loss")),
    },
    "sharing": {
        "by all documents": Way(FIVE),
        "by a part, uniform": Way(replace(FIVE, sharing="uniform")),
        "by a part, fitted": Way(replace(FIVE, sharing="beta")),
    },
}


@dataclass(frozen=True)
class Studied:
    """One run and how it would have gone on.

    Attributes:
        losses: what was found, all epochs.
        seen: epochs that were fitted.
        predicted: all epochs by every way.
        numbers: shared parameters of every way's fit, by name.
    """

    losses: LossMatrix
    seen: int
    predicted: Mapping[str, LossMatrix]
    numbers: Mapping[str, Mapping[str, float]]

    @property
    def r2(self) -> dict[str, float]:
        """R^2 of the losses after the epochs seen, or of the curves by lag where all were."""
        if self.seen == self.losses.epochs:
            truth = lag_curves(self.losses)
            return {
                name: r_squared_of_curves(truth, lag_curves(guess)) for name, guess in self.predicted.items()
            }
        rows = slice(1 + self.seen * self.losses.tasks, None)
        return {
            name: r_squared(self.losses.values[rows], guess.values[rows])
            for name, guess in self.predicted.items()
        }

    @property
    def dips_off(self) -> dict[str, float]:
        """How far (peak - last)/(peak - first) by lag is off, median over visits."""
        truth = dips(self.losses)
        return {
            name: float(np.nanmedian(np.abs(dips(guess) - truth))) for name, guess in self.predicted.items()
        }


def study(losses: LossMatrix, ways: Mapping[str, Way], seen: int = 3) -> Studied:
    """Fit the first epochs, or all, and go on by the mechanism alone."""
    predicted, numbers = {}, {}
    for name, way in ways.items():
        found = fit(losses.first_epochs(seen), way.form, starts=3, intervals_by="none")
        shapes = way.form.losses(found.theta(), losses.order, drifting=seen if way.stays else None)
        predicted[name] = LossMatrix(found.scales() * shapes, losses.order)
        numbers[name] = {p.name: p.value for p in found.parameters}
    return Studied(losses, seen, predicted, numbers)


# Blue, vermilion, grey and green of the Okabe-Ito palette, and dashes for readers who see none.
_STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#0072b2", "lw": 1.8},
    {"color": "#d55e00", "ls": "--"},
    {"color": "#7f7f7f", "ls": ":", "lw": 1.8},
    {"color": "#009e73", "ls": "-."},
)


def plot(studied: Mapping[str, Studied]) -> Figure:
    """A panel for each run: mean loss by episodes since a visit, after the visits predicted, or after all."""
    columns = min(len(studied), 3)
    rows = math.ceil(len(studied) / columns)
    figure = Figure(figsize=(3.4 * columns, 2.7 * rows), dpi=150, layout="constrained")
    for at, (name, one) in enumerate(studied.items(), start=1):
        axes = figure.add_subplot(rows, columns, at)
        first = one.seen if one.seen < one.losses.epochs else 0
        drawn = {"found": one.losses, **one.predicted}
        for (label, losses), style in zip(drawn.items(), _STYLES, strict=True):
            for number, curve in enumerate(lag_curves(losses).mean[first:]):
                axes.plot(curve, **style, label=label if number == 0 else None)
        axes.set_title(f"{name}\nR² " + ", ".join(f"{value:.3f}" for value in one.r2.values()), fontsize=9)
        axes.set_xlabel("episodes since the visit")
        axes.set_ylabel("mean loss")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("question", choices=list(QUESTIONS))
    parser.add_argument("--runs", type=Path, required=True, help="folder of run folders or .npz files")
    parser.add_argument("--only", default="", help="runs whose name holds this")
    parser.add_argument("--whole", action="store_true", help="fit all epochs, and judge curves and dips")
    parser.add_argument("--plot", type=Path, help="picture of the curves by lag, .png")
    options = parser.parse_args(arguments)
    if options.plot is not None:
        check_output(options.plot, suffixes=(".png",), name="plot")
    ways = QUESTIONS[options.question]
    judged = "curves, dips off" if options.whole else "held-out losses"
    told = {"drift": "slow_drift", "sharing": "shared_fraction"}[options.question]
    print(f"R^2 of {judged}\n{'run':<36}" + "".join(f"{name:>27}" for name in ways) + f"{told:>17}")
    studied = {}
    for name, losses in find_runs(options.runs).items():
        if options.only in name and losses.epochs > 3 and (losses.order == losses.order[0]).all():
            studied[name] = one = study(losses, ways, losses.epochs if options.whole else 3)
            off = one.dips_off if options.whole else {}
            cells = (f"{r2:.3f}" + (f", {off[way]:.3f}" if off else "") for way, r2 in one.r2.items())
            known = [numbers[told] for numbers in one.numbers.values() if told in numbers]
            print(f"{name:<36}" + "".join(f"{cell:>27}" for cell in cells) + f"{known[0]:>17.2f}", flush=True)
    if options.plot is not None and studied:
        with atomic_write(options.plot, "wb") as file:
            plot(studied).savefig(file, format="png")


if __name__ == "__main__":
    main()
