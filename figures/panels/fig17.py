"""Figure 17: how far activations and weights move in each episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.evidence.runs import Runs
from figures.panels.matrices import ToyState, member_of, toy_state
from figures.style import NETWORK, TOY, figure_style, letter, new_figure
from llm.runs.finished import Run
from toymodel.theory.trajectories import step_sizes, weight_step_gram, weight_step_sizes

__all__ = ["PANELS", "Sizes"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sizes:
    """A figure of one size per episode.

    Attributes:
        figure: the paper's figure.
        title: what is seen.
        read: sizes of a run, shape ``(E*T,)``.
        toy: the toy's.
        words: for the caption.
    """

    figure: str
    title: str
    read: Callable[[Run], Floats]
    toy: Callable[[ToyState], Floats]
    words: str
    families: tuple[str, ...] = ("fig17",)

    def values(self, runs: Runs) -> tuple[Floats, Floats]:
        """Sizes by seed, shape ``(seeds, E*T)``, and the toy's."""
        member = member_of(runs, self.figure, "fig17", "fig17")
        return np.array([self.read(run) for run in member.runs]), self.toy(toy_state(member.config))

    def draw(self, runs: Runs) -> Figure:
        """Network left, toy right.

        Raises:
            MissingRuns: when there is no run.
        """
        sizes, toy = self.values(runs)
        tasks = member_of(runs, self.figure, "fig17", "fig17").config.num_documents
        with figure_style():
            figure = new_figure(6.4, 2.9)
            left, right = figure.subplots(1, 2, sharex=True)
            episode = 1 + np.arange(sizes.shape[1])
            if len(sizes) > 1:
                mean, spread = sizes.mean(0), sizes.std(0, ddof=1)
                left.fill_between(
                    episode, mean - spread, mean + spread, color=NETWORK["color"], alpha=0.22, lw=0
                )
            left.plot(episode, sizes.mean(0), **NETWORK)
            right.plot(episode, toy, **TOY)
            letter(left, self.figure, self.title)
            right.set_title("toy")
            for axes in (left, right):
                self._axis(axes, tasks, sizes.shape[1])
            left.set_ylabel("Euclidean distance")
        return figure

    def caption(self, runs: Runs) -> str:
        """What is drawn, in words."""
        member = member_of(runs, self.figure, "fig17", "fig17")
        seeds = f"Mean over {len(member.runs)} seed(s); shaded: one standard deviation."
        return f"{self.words} {seeds} Right: the toy."

    @staticmethod
    def _axis(axes: Axes, tasks: int, episodes: int) -> None:
        axes.set(xlabel="training episode", ylim=(0, None), xlim=(0, episodes))
        axes.set_xticks(range(0, episodes + 1, tasks))


def _toy_weights(state: ToyState) -> Floats:
    return weight_step_sizes(weight_step_gram(state.q, state.w, state.order, state.gram, state.slow))


PANELS = {
    panel.figure: panel
    for panel in (
        Sizes("17a", "activations of document 1", lambda run: run.probe("updates")["activations"][:, 0],
              lambda state: step_sizes(state.q[:, 0]),
              "Distance between the last-layer activations of document 1 before and after each episode."),
        Sizes("17b", "weights", lambda run: run.probe("updates")["weights"], _toy_weights,
              "Distance between all weights before and after each episode."),
    )
}  # fmt: skip
