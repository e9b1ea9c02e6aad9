"""Figure 17: how far activations and weights move in each episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.evidence.runs import Runs
from figures.panels.captions import Caption, seeds_of
from figures.panels.matrices import Probed, ToyState, toy_state
from figures.style import NETWORK, TOY, figure_style, letter, new_figure
from llm.runs.finished import Run
from toymodel.theory.trajectories import step_sizes, weight_step_gram, weight_step_sizes

__all__ = ["PANELS", "Sizes"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Sizes(Probed):
    """A figure of one size per episode.

    Attributes:
        read: sizes of a run, shape ``(E*T,)``.
        toy: the toy's.
    """

    read: Callable[[Run], Floats]
    toy: Callable[[ToyState], Floats]

    def draw(self, runs: Runs) -> Figure:
        """A panel for each scale, and the toy's on the right.

        Raises:
            MissingRuns: when there is no run.
        """
        found = self.found(runs)
        config = found[0].members[0].config
        with figure_style():
            figure = new_figure(3.2 * (1 + len(found)), 2.9)
            *networks, toy = figure.subplots(1, 1 + len(found), sharex=True)
            for axes, one in zip(networks, found, strict=True):
                sizes = np.array([self.read(run) for run in one.members[0].runs])
                episode = 1 + np.arange(sizes.shape[1])
                if len(sizes) > 1:
                    mean, spread = sizes.mean(0), sizes.std(0, ddof=1)
                    axes.fill_between(
                        episode, mean - spread, mean + spread, color=NETWORK["color"], alpha=0.22, lw=0
                    )
                axes.plot(episode, sizes.mean(0), **NETWORK)
                axes.set_title(one.title)
                self._axis(axes, one.members[0].config.num_documents, sizes.shape[1])
            sizes = self.toy(toy_state(config))
            toy.plot(1 + np.arange(len(sizes)), sizes, **TOY)
            toy.set_title("toy")
            self._axis(toy, config.num_documents, len(sizes))
            letter(networks[0], self.figure,
                   self.title if len(found) == 1 else f"{self.title}: {found[0].title}")  # fmt: skip
            networks[0].set_ylabel("Euclidean distance")
        return figure

    def caption(self, runs: Runs) -> Caption:
        """What is drawn."""
        return Caption(f"{self.words} Shaded: one standard deviation over seeds.", self.unit,
                       seeds_of(self.found(runs)), "Right: the toy.")  # fmt: skip

    @staticmethod
    def _axis(axes: Axes, tasks: int, episodes: int) -> None:
        axes.set(xlabel="training episode", ylim=(0, None), xlim=(0, episodes))
        axes.set_xticks(range(0, episodes + 1, tasks))


def _toy_weights(state: ToyState) -> Floats:
    return weight_step_sizes(weight_step_gram(state.q, state.w, state.order, state.gram, state.slow))


PANELS = {
    panel.figure: panel
    for panel in (
        Sizes("17a", "fig17", "updates", "activations of document 1",
              "Distance between the last-layer activations of document 1 before and after each episode.",
              "Euclidean, in the units of the activations.",
              read=lambda run: run.probe("updates")["activations"][:, 0],
              toy=lambda state: step_sizes(state.q[:, 0])),
        Sizes("17b", "fig17", "updates", "weights",
              "Distance between all weights before and after each episode.",
              "Euclidean, in the units of the weights.",
              read=lambda run: run.probe("updates")["weights"], toy=_toy_weights),
    )
}  # fmt: skip
