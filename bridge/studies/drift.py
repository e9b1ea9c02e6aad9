"""Whether the slow share falls with visits or with the loss.

``python -m bridge.studies.drift --runs figures/recorded/h100`` fits the form of five numbers to the first
three epochs of every run and predicts the others by the mechanism alone, three times: the share goes on
falling with every epoch; it stays what it was in the third; or both shares move with the log of the loss that
an episode meets, as a kernel that grows while the network learns would have them. ``--plot FILE.png`` draws
the curves by lag after the visits that were predicted.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bridge.estimate.choice import FIVE
from bridge.estimate.fit import fit
from bridge.judge.curves import lag_curves
from bridge.model.mechanism import Mechanism
from bridge.studies.little import find_runs
from toymodel import LossMatrix
from toymodel.base.files import atomic_write, check_output
from toymodel.measures.agreement import r_squared

__all__ = ["ThreeWays", "main", "plot", "three_ways"]

WITH_LOSS = Mechanism(channels=1, drift="loss", link="saturating", nearness=False, pairs=False)


@dataclass(frozen=True)
class ThreeWays:
    """Held-out epochs by three mechanisms.

    Attributes:
        losses: what was found, all epochs.
        seen: epochs that were fitted.
        drift: of logit s per epoch, in the form whose share falls with every epoch.
        goes_on: predicted, the share falling on.
        stays: the share staying what it was in the last epoch seen.
        follows: both shares moving with the log of the loss.
    """

    losses: LossMatrix
    seen: int
    drift: float
    goes_on: LossMatrix
    stays: LossMatrix
    follows: LossMatrix

    @property
    def r2(self) -> tuple[float, float, float]:
        """R^2 of held-out losses, in the order of the attributes."""
        rows = slice(1 + self.seen * self.losses.tasks, None)
        truth = self.losses.values[rows]
        a, b, c = (r_squared(truth, g.values[rows]) for g in (self.goes_on, self.stays, self.follows))
        return a, b, c


def three_ways(losses: LossMatrix, seen: int = 3) -> ThreeWays:
    """Fit the first epochs and predict the others by the mechanism alone."""
    known, order = losses.first_epochs(seen), losses.order
    found = fit(known, FIVE, intervals_by="none")
    stays = found.scales() * FIVE.losses(found.theta(), order, drifting=seen)
    follows = fit(known, WITH_LOSS, starts=3, intervals_by="none").predict(order=order)
    drift = next(p.value for p in found.parameters if p.name == "slow_drift")
    return ThreeWays(losses, seen, drift, found.predict(order=order), LossMatrix(stays, order), follows)


# Blue, vermilion, green and grey of the Okabe-Ito palette, and dashes for readers who see none.
_LINES: dict[str, dict[str, Any]] = {
    "found": {"color": "#0072b2", "lw": 1.8},
    "share goes on falling": {"color": "#d55e00", "ls": "--"},
    "share stays": {"color": "#7f7f7f", "ls": ":", "lw": 1.8},
    "shares move with the loss": {"color": "#009e73", "ls": "-."},
}


def plot(studied: Mapping[str, ThreeWays]) -> Figure:
    """A panel for each run: mean loss by episodes since a visit, after the visits that were held out."""
    columns = min(len(studied), 3)
    rows = math.ceil(len(studied) / columns)
    figure = Figure(figsize=(3.4 * columns, 2.7 * rows), dpi=150, layout="constrained")
    for at, (name, one) in enumerate(studied.items(), start=1):
        axes = figure.add_subplot(rows, columns, at)
        guesses = (one.losses, one.goes_on, one.stays, one.follows)
        for (label, style), losses in zip(_LINES.items(), guesses, strict=True):
            for number, curve in enumerate(lag_curves(losses).mean[one.seen :]):
                axes.plot(curve, **style, label=label if number == 0 else None)
        r2 = ", ".join(f"{value:.2f}" for value in one.r2)
        axes.set_title(f"{name}\ndrift {one.drift:.2f}; R² {r2}", fontsize=9)
        axes.set_xlabel("episodes since the visit")
        axes.set_ylabel("mean loss")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of run folders or .npz files")
    parser.add_argument("--only", default="sgd", help="runs whose name holds this")
    parser.add_argument("--plot", type=Path, help="picture of the held-out epochs, .png")
    options = parser.parse_args(arguments)
    if options.plot is not None:
        check_output(options.plot, suffixes=(".png",), name="plot")
    studied = {}
    print(f"{'run':<36}{'drift':>8}{'goes on':>9}{'stays':>9}{'with the loss':>15}")
    for name, losses in find_runs(options.runs).items():
        if options.only in name and losses.epochs > 3 and (losses.order == losses.order[0]).all():
            studied[name] = one = three_ways(losses)
            r2 = one.r2
            print(f"{name:<36}{one.drift:>8.2f}{r2[0]:>9.3f}{r2[1]:>9.3f}{r2[2]:>15.3f}", flush=True)
    if options.plot is not None and studied:
        with atomic_write(options.plot, "wb") as file:
            plot(studied).savefig(file, format="png")


if __name__ == "__main__":
    main()
