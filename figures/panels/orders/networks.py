"""The second version's rows: online loss by size and order, and recovery over revisions of pretraining."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.captions import Caption, seeds_of
from figures.evidence.collection import Runs
from figures.evidence.groups import Family, Member
from figures.evidence.lookup import find
from figures.evidence.scales import Scale
from figures.evidence.scores import last_score
from figures.style import INK, SERIES, figure_style, letter, new_figure
from llm.presets import family
from toymodel import online_loss

__all__ = ["PANELS", "Online", "Pretraining"]

_ORDERS = ("cyclic", "shuffled-once", "reshuffled", "palindrome", "iid")


def _by_size(one: Family) -> dict[str, dict[str, Member]]:
    """Members by size, and of each by order; what differs in more than its order is no order."""
    found: dict[str, dict[str, Member]] = {}
    for member in one.members:
        kind = member.config.schedule
        size = member.preset.label.removesuffix(kind).removesuffix("-")
        if member.preset.label.endswith(kind):
            found.setdefault(size or member.config.model, {})[kind] = member
    return found


def _compared(one: Family) -> list[Member]:
    """Members that are drawn: of sizes that were run in several orders."""
    return [member for found in _by_size(one).values() if len(found) > 1 for member in found.values()]


@dataclass(frozen=True)
class Online:
    """Online loss over epochs 2 to E, a group of bars per size, a bar per order."""

    figure: str = "online"
    families: tuple[str, ...] = ("v2-online", "orders", "control")

    def found(self, runs: Runs) -> list[Family]:
        """Runs of several orders: of the second version's sizes, and of the orders of one network.

        Raises:
            MissingRuns: when there are none.
        """
        several: list[Family] = []
        for name in self.families:
            several += [one for one in runs.families(name) if _compared(one)]
        # What another group shows in more orders or sizes is not shown again.
        shown = {id(one): {run.config for member in _compared(one) for run in member.runs} for one in several}
        several = [one for one in several if not any(shown[id(one)] < shown[id(other)] for other in several)]
        return several or find(runs, self.figure, self.families[0])

    def draw(self, runs: Runs) -> Figure:
        """One panel for each group of runs.

        Raises:
            MissingRuns: likewise.
        """
        found = self.found(runs)
        with figure_style():
            figure = new_figure(0.6 + 3.9 * len(found), 3.4)
            for place, (one, axes) in enumerate(zip(found, figure.subplots(1, len(found), squeeze=False)[0],
                                                    strict=True)):  # fmt: skip
                self._bars(axes, one)
                title = f"{one.title}, {one.members[0].config.optimizer}"
                letter(axes, self.figure, title) if place == 0 else axes.set_title(title, fontsize=10)
        return figure

    @staticmethod
    def _bars(axes: Axes, one: Family) -> None:
        sizes = {size: found for size, found in _by_size(one).items() if len(found) > 1}
        kinds = [kind for kind in _ORDERS if any(kind in found for found in sizes.values())]
        width = 0.8 / len(kinds)
        for n, kind in enumerate(kinds):
            look = SERIES[_ORDERS.index(kind)]
            for place, found in enumerate(sizes.values()):
                if kind not in found:
                    continue
                values = np.array([online_loss(losses)[1:].mean() for losses in found[kind].losses])
                x = place + (n - (len(kinds) - 1) / 2) * width
                error = values.std(ddof=1) if len(values) > 1 else None
                axes.bar(x, values.mean(), width, yerr=error, color=look["color"], alpha=0.55, label=kind,
                         error_kw={"lw": 1, "capsize": 2})  # fmt: skip
                axes.plot(np.full(len(values), x), values, look["marker"], color=INK, markersize=2.4)
        axes.set_xticks(range(len(sizes)), list(sizes))
        axes.set(ylabel="online loss, epochs 2 on (nats per token)", ylim=(0, 1.35 * axes.get_ylim()[1]))
        handles, names = axes.get_legend_handles_labels()
        once = dict(zip(names, handles, strict=True))
        axes.legend(once.values(), once.keys(), loc="upper right", fontsize=8, ncols=2)

    def caption(self, runs: Runs) -> Caption:
        """What is drawn."""
        found = self.found(runs)
        return Caption(
            "Mean loss of the document about to be trained, over epochs 2 on, by order; dots are seeds.",
            "In nats per token.",
            seeds_of(found),
            "The toy's: figure orders.",
        )


@dataclass(frozen=True)
class Pretraining:
    """Last recovery score over revisions of a pretrained Pythia; without pretraining where it was run."""

    figure: str = "pretraining"
    families: tuple[str, ...] = ("v2-pretraining",)
    scales: tuple[Scale, ...] = ("pretrained",)

    def found(self, runs: Runs) -> list[Family]:
        """Runs of the revisions.

        Raises:
            MissingRuns: when there are none.
        """
        return find(runs, self.figure, self.families[0], self.scales)

    def draw(self, runs: Runs) -> Figure:
        """Scores over steps of pretraining.

        Raises:
            MissingRuns: likewise.
        """
        (one,) = self.found(runs)
        points: list[tuple[int, Member]] = [
            (int(str(member.config.revision).removeprefix("step")), member) for member in one.members
        ]
        start = runs.member(family("v2-pretraining-random")[0])
        if start.runs:
            points.insert(0, (0, start))
        with figure_style():
            figure = new_figure(4.6, 3.2)
            axes = figure.subplots()
            for step, member in points:
                values = [last_score(losses) for losses in member.losses]
                axes.plot(np.full(len(values), step / 1000), values, "o", color=SERIES[0]["color"])
            axes.set(xlabel="thousand steps of pretraining", ylabel="recovery score, last epoch", ylim=(0, 1))
            letter(axes, self.figure, one.members[0].config.model)
        return figure

    def caption(self, runs: Runs) -> Caption:
        """What is drawn."""
        return Caption(
            "Recovery score of the last epoch, a dot per seed; step 0 is random weights.",
            "A part of what was forgotten.", seeds_of(self.found(runs)), "The toy has no pretraining.",
        )  # fmt: skip


PANELS = {"online": Online(), "pretraining": Pretraining()}
