"""A large network beside the toy model fitted to it, and beside itself in an order that does not repeat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bridge import FitResult, Mechanism, fit
from figures.captions import Caption
from figures.evidence.collection import Runs
from figures.evidence.groups import Family, Member
from figures.evidence.lookup import find
from figures.evidence.matching import model_name
from figures.evidence.scores import score_by_epoch, shifted
from figures.style import INK, NETWORK, TOY, figure_style, new_figure
from llm.runs.finished import Run
from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import recovery_scores

__all__ = ["FORM", "PANELS", "Headline", "fitted_toy"]

FORM = Mechanism(channels=1, drift="none", link="saturating", nearness=False, pairs=False)
"""Four numbers for the whole run: the part of a document that an episode leaves unfitted, the slow weights'
share of it, the variance of the fast weights' start, and the distance at which the loss saturates."""

_RESHUFFLED = {"color": "0.5", "linestyle": (0, (1, 1.2)), "linewidth": 1.4}


@lru_cache(maxsize=4)
def fitted_toy(run: Run) -> FitResult:
    """The toy of four numbers fitted to a run's losses."""
    return fit(run.losses, FORM)


@dataclass(frozen=True)
class Headline:
    """The figure: curves on the left, recovery scores on the right.

    Attributes:
        figure: its name.
        family: of presets.
        member: of the family; of its runs the first seed is shown.
    """

    figure: str = "headline"
    family: str = "fig6"
    member: str = "adam"

    @property
    def families(self) -> tuple[str, ...]:
        """Families of presets that the figure shows."""
        return (self.family,)

    def found(self, runs: Runs) -> list[Family]:
        """The one family that is shown: Pythia's sizes, or else trained, or else small networks.

        Raises:
            MissingRuns: when the member has no run at any scale.
        """
        every = find(runs, self.figure, self.family, ("pythia", "pretrained", "small"))
        first = every[0]
        return [first.only(self.member) or replace(first, members=first.members[:1], missing=())]

    def draw(self, runs: Runs) -> Figure:
        """Network and toy in the same axes.

        Raises:
            MissingRuns: as `found`.
        """
        member, control = self._runs(runs)
        run = member.runs[0]
        toy = fitted_toy(run).prediction
        drawn = [(run.losses, _name(run), NETWORK, "o"), (toy, "toy model, four numbers fitted", TOY, "s")]
        if control is not None:
            drawn.append((control.losses, "the same network, order reshuffled every epoch", _RESHUFFLED, "^"))
        with figure_style():
            figure = new_figure(8.6, 3.5)
            left, right = figure.subplots(1, 2, width_ratios=[2.3, 1])
            for matrix, label, look, marker in drawn:
                left.plot(shifted(matrix), label=label, **look)
                scores = [score.value for score in recovery_scores(matrix)]
                right.plot(1 + np.arange(len(scores)), scores, marker=marker, markersize=4.5, **look)
            self._frame(left, right, run.losses)
            figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return figure

    def caption(self, runs: Runs) -> Caption:
        """What is drawn."""
        member, control = self._runs(runs)
        run = member.runs[0]
        result = fitted_toy(run)
        numbers = ", ".join(
            f"{p.name} {p.value:.3g} "
            + (f"({p.low:.3g} to {p.high:.3g})" if p.low is not None and p.high is not None
               else "(no interval)")
            for p in result.parameters
        )  # fmt: skip
        what = "Left: loss averaged over documents aligned at their first training; circles: just before a "
        what += "document is trained. Right: recovery score (paper eq. 1) by epoch: "
        what += "; ".join(
            f"{name} {score_by_epoch([matrix])}"
            for name, matrix in (
                ("network", run.losses),
                ("toy", result.prediction),
                *((("reshuffled", control.losses),) if control is not None else ()),
            )
        )
        toy = f"Dashed: the toy model fitted to all {run.losses.values.size} losses by four numbers "
        toy += f"({numbers}) and a scale for each document; R² {result.r2:.3f}."
        return Caption(
            what + ".", "Losses in nats per token.", f"One seed ({run.config.seed}) of {member.seeds}.", toy
        )

    def _runs(self, runs: Runs) -> tuple[Member, Run | None]:
        (member,) = self.found(runs)[0].members
        run = member.runs[0]
        control = runs.controls([run.config]).get("reshuffled", [])
        return member, next((c for c in control if c.config.seed == run.config.seed), None)

    @staticmethod
    def _frame(left: Axes, right: Axes, matrix: LossMatrix) -> None:
        tasks, epochs = matrix.tasks, matrix.epochs
        before = np.arange(epochs) * tasks
        left.plot(before, shifted(matrix)[before], "o", color=INK, markersize=3.4, zorder=4)
        left.set_xticks(before)
        left.set(title="loss on a document, mean over all", ylabel="nats per token",
                 xlabel="episodes since right before its first training")  # fmt: skip
        right.set_xticks(range(1, epochs))
        right.set(title="recovery score", xlabel="epoch", ylim=(0, 1))


def _name(run: Run) -> str:
    rate = f"{run.config.optimizer.capitalize()} {run.config.rate:g}"
    return f"{model_name(run.config.model)} ({rate}, one seed)"


PANELS = {"headline": Headline()}
