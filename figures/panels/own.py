"""Runs that are no preset's, each under its own name: what Figs. 1a and 1b show, and recovery by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.captions import Caption
from figures.evidence.collection import Runs
from figures.evidence.groups import Experiment, Family
from figures.evidence.lookup import MissingRuns
from figures.evidence.matching import model_name
from figures.evidence.scores import mean_scores, score_by_epoch, shifted
from figures.style import INK, NETWORK, figure_style, letter, new_figure
from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import visits

__all__ = ["PANELS", "Own"]

_MOST = 12  # rows of one picture


class Own:
    """The figure: a row for each experiment."""

    figure = "own"
    families: tuple[str, ...] = ()

    def found(self, runs: Runs) -> list[Family]:
        """No family: these runs are of none."""
        return []

    def experiments(self, runs: Runs) -> list[Experiment]:
        """What is drawn.

        Raises:
            MissingRuns: when every run is a preset's.
        """
        found = runs.own()
        if not found:
            raise MissingRuns("figure own: no run here has settings of its own",
                              expected="a run that is no preset's",
                              fix="reawaken llm run --preset fig1-small --steps 7 --out runs/7")  # fmt: skip
        return found

    def draw(self, runs: Runs) -> Figure:
        """Loss of the document trained first, of all aligned, and recovery scores.

        Raises:
            MissingRuns: as `experiments`.
        """
        shown = self.experiments(runs)[:_MOST]
        with figure_style():
            figure = new_figure(8.4, 0.6 + 1.9 * len(shown))
            grid = figure.subplots(len(shown), 3, squeeze=False, width_ratios=[1.4, 1.4, 1])
            for row, one in zip(grid, shown, strict=True):
                self._row(row, one)
            letter(grid[0, 0], "own", shown[0].name)
            for axes, name in zip(
                grid[-1], ("training episode", "episodes since first training", "epoch"), strict=True
            ):
                axes.set_xlabel(name)
        return figure

    def caption(self, runs: Runs) -> Caption:
        """What is drawn."""
        every = self.experiments(runs)
        told = []
        for one in every[:_MOST]:
            config = one.runs[0].config
            seeds = ", ".join(str(run.config.seed) for run in one.runs)
            told.append(
                f"{one.name}: {model_name(config.model)} ({config.weights} weights) on {config.documents}, "
                f"T={config.num_documents} M={config.steps} E={config.epochs}, order {config.schedule}, "
                f"{config.optimizer} {config.rate:g}; recovery by epoch "
                f"{score_by_epoch([run.losses for run in one.runs])}; seed(s) {seeds}."
            )
        if len(every) > _MOST:
            told.append(f"Not drawn: {', '.join(one.name for one in every[_MOST:])}.")
        what = "Loss of the document trained first (left), of all documents aligned at their first training "
        what += "(middle; black circles: just before a document is trained, in orders that repeat), and "
        what += "recovery scores (paper eq. 1; gaps where one has no meaning). " + " ".join(told)
        return Caption(what, "Losses in nats, of texts per token.", "Means over the seeds named.", "")

    @staticmethod
    def _row(row: Sequence[Axes], one: Experiment) -> None:
        matrices = [run.losses for run in one.runs]
        first = matrices[0]
        left, middle, right = row
        left.plot(np.mean([m.values[:, m.order[0, 0]] for m in matrices], axis=0), **NETWORK)
        mean = np.mean([shifted(m) for m in matrices], axis=0)
        middle.plot(mean, **NETWORK)
        if _repeats(first):
            before = visits(first)[int(first.order[0, 0])]
            before = before[before < len(mean)]
            middle.plot(before, mean[before], "o", color=INK, markersize=2.8, zorder=4)
        means = mean_scores(matrices)
        has = np.isfinite(means)
        right.plot(1 + np.flatnonzero(has), means[has], marker="o", markersize=4, **NETWORK)
        if not has.any():
            right.text(0.5, 0.5, "none has a meaning", ha="center", va="center", transform=right.transAxes)
        last = max(1, first.epochs - 1)
        left.set(title=one.name, ylabel="loss (nats)")
        middle.set_title(f"{len(one.runs)} seed{'s' * (len(one.runs) > 1)}")
        right.set(ylim=(0, 1), xlim=(0.5, last + 0.5), xticks=range(1, last + 1))
        right.set_title("recovery score")


def _repeats(matrix: LossMatrix) -> bool:
    return bool((matrix.order == matrix.order[0]).all())


PANELS = {"own": Own()}
