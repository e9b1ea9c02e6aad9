"""Figures 9 and 17: the output layer's path in its principal components, and how far each episode moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.captions import Caption, seeds_of
from figures.evidence.collection import Runs
from figures.panels.matrices import Beside, Probed, ToyState, toy_state
from figures.style import figure_style, letter, new_figure
from llm.config import RunConfig
from llm.presets import family
from llm.runs.finished import Run
from toymodel.theory.trajectories import pca, step_sizes, turns, weight_step_gram, weight_step_sizes

__all__ = ["PANELS", "Helix", "Sizes", "helix_and_nulls", "path", "turns_per_epoch", "walks"]

Floats = NDArray[np.float64]


def path(run: Run) -> tuple[Floats, Floats]:
    """Coordinates by episode, shape ``(E*T, 3)``, and the part of the variance of each component."""
    found = run.probe("pca")
    return np.asarray(found["coordinates"], dtype=np.float64), np.asarray(found["explained"])


def turns_per_epoch(points: Floats, tasks: int) -> float:
    """Turns per epoch about the helix's own moving axis, the average over a window of T episodes.

    Only episodes whose window is whole count; what is left is seen in its own two principal components.
    """
    window = np.ones(tasks) / tasks
    axis = np.stack([np.convolve(column, window, mode="valid") for column in points.T], axis=1)
    around = points[tasks // 2 :][: len(axis)] - axis
    return turns(pca(around, 2).coordinates) * tasks / (len(around) - 1)


def walks(steps: int, tasks: int, *, draws: int = 20, dimension: int = 200, smooth: int = 6) -> Floats:
    """Turns per epoch and explained variance of smooth random walks: the null of a helix.

    Principal components of any random walk are Lissajous curves (Antognini and Sohl-Dickstein, 2018).

    Args:
        steps: episodes.
        tasks: T, the window of the moving axis.
        draws: walks.
        dimension: of each.
        smooth: steps over which increments are averaged.

    Returns:
        shape ``(draws, 2)``.
    """
    found = []
    for seed in range(draws):
        increments = np.random.default_rng(seed).normal(size=(steps + smooth, dimension))
        mean = np.cumsum(increments, axis=0)
        components = pca(np.cumsum(mean[smooth:] - mean[:-smooth], axis=0), 3)
        turned = turns_per_epoch(components.coordinates, tasks)
        found.append((turned, float(components.explained.sum())))
    return np.array(found)


def helix_and_nulls(runs: Runs) -> list[tuple[str, Floats]]:
    """Turns per epoch and explained variance by run, shape ``(seeds, 2)``: the helix's, and its controls'."""

    def of(found: Sequence[Run]) -> Floats:
        measured = [(path(run), run.losses.tasks) for run in found]
        return np.array([(turns_per_epoch(p, tasks), float(e.sum())) for (p, e), tasks in measured])

    rows = [(f"Fig. 9: {one.title}", of(one.members[0].runs)) for one in runs.families("fig9")]
    for one in runs.families("fig9-orders"):
        rows += [(f"{member.preset.label}: {one.title}", of(member.runs)) for member in one.members]
    rows.append(("random walks, 3 epochs", walks(75, 25)))
    for preset in family("orders-embedded"):
        alike = runs.member(preset).runs
        if alike and preset.label in ("cyclic", "palindrome", "reshuffled"):
            rows.append((f"{preset.label}: Adam, 5 epochs", of(alike)))
    return [*rows, ("random walks, 5 epochs", walks(125, 25))]


class Helix(Probed):
    """Figure 9."""

    def draw(self, runs: Runs) -> Figure:
        """The first seed's path at each scale, beside the toy's, and turns beside those of controls.

        Raises:
            MissingRuns: when there is no run.
        """
        found = self.found(runs)
        config = found[0].members[0].config
        panels = [
            (f"{self.title}, seed {one.members[0].runs[0].config.seed}"
             + (f": {one.title}" if len(found) > 1 else ""),
             path(one.members[0].runs[0])[0], one.members[0].config.num_documents)
            for one in found
        ]  # fmt: skip
        toy = pca(toy_state(config).w[1:], 3).coordinates
        with figure_style():
            figure = new_figure(3.6 * (1 + len(found)) + 4.2, 3.6)
            for place, (name, points, tasks) in enumerate(
                [*panels, ("toy: w", toy, config.num_documents)], start=1
            ):
                axes = figure.add_subplot(1, 2 + len(found), place, projection="3d")
                self._path(axes, points, tasks)
                letter(axes, self.figure, name) if place == 1 else axes.set_title(name)
            for epoch in range(1, config.epochs + 1):
                figure.axes[0].plot([], [], [], "o", markersize=4, label=f"epoch {epoch}",
                                    color=_shade(epoch - 1, config.epochs))  # fmt: skip
            self._nulls(figure.add_subplot(1, 2 + len(found), 2 + len(found)), runs)
            figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center",
                          ncols=config.epochs)  # fmt: skip
        return figure

    @staticmethod
    def _nulls(axes: Axes, runs: Runs) -> None:
        rows = helix_and_nulls(runs)
        for place, (_, values) in enumerate(rows):
            axes.plot(values[:, 0], np.full(len(values), place - 0.12), "o", markersize=4, color="#0072B2",
                      label="turns per epoch" if not place else "_")  # fmt: skip
            axes.plot(values[:, 1], np.full(len(values), place + 0.12), "s", markersize=4, color="#D55E00",
                      markerfacecolor="none", label="variance in 3 PCs" if not place else "_")  # fmt: skip
        axes.axvline(1, color="0.6", linewidth=0.8)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
        axes.set(xlim=(0, 1.1), ylim=(len(rows) - 0.4, -1.4))
        axes.legend(loc="upper left", fontsize=8, ncols=2)
        axes.set_title("turns, and what has none to make")

    def caption(self, runs: Runs) -> Caption:
        """What is drawn."""
        found = self.found(runs)
        told = []
        for one in found:
            points, explained = path(one.members[0].runs[0])
            turned = turns_per_epoch(points, one.members[0].config.num_documents)
            told.append(
                f"They hold {explained.sum():.0%} of the variance ({one.title}), and about its moving axis "
                f"the path turns {turned:.2f} times per epoch."
            )
        what = (
            f"{self.words} {' '.join(told)} The first document of each epoch is ringed. "
            "Right, by seed: turns and variance, also of orders that cannot make a helix and of random walks."
        )
        counts = ", ".join(f"{one.members[0].seeds} ({one.title})" for one in found)
        return Caption(what, self.unit, f"The first seed of {counts}.", "Beside it the toy's fast weights.")

    @staticmethod
    def _path(axes: Any, points: Floats, tasks: int) -> None:
        epochs = len(points) // tasks
        axes.plot(*points.T, color="0.6", linewidth=0.8)
        for epoch in range(epochs):
            part = points[epoch * tasks : (epoch + 1) * tasks]
            axes.scatter(*part.T, s=8, color=_shade(epoch, epochs), depthshade=False)
            axes.scatter(*part[:1].T, s=45, facecolors="none", edgecolors="black", linewidths=0.9)
        axes.tick_params(labelsize=6.5, pad=-2)
        axes.set_xlabel("PC 1", labelpad=-6, fontsize=8.5)
        axes.set_ylabel("PC 2", labelpad=-6, fontsize=8.5)
        axes.set_zlabel("PC 3", labelpad=-6, fontsize=8.5)


def _shade(epoch: int, epochs: int) -> Any:
    from matplotlib import colormaps

    return colormaps["cividis"](0.05 + 0.85 * epoch / max(epochs - 1, 1))


@dataclass(frozen=True, kw_only=True)
class Sizes(Beside):
    """A figure of one size per episode, read as shape ``(E*T,)``."""

    size: ClassVar[tuple[float, float]] = (3.2, 2.9)

    def caption(self, runs: Runs) -> Caption:
        """What is drawn."""
        return Caption(f"{self.words} Shaded: one standard deviation over seeds.", self.unit,
                       seeds_of(self.found(runs)), "Right: the toy.")  # fmt: skip

    def panel(self, axes: Axes, seeds: Floats, config: RunConfig, look: Mapping[str, Any]) -> None:
        """The mean, and a shade of one deviation where there are several seeds."""
        mean, episodes = seeds.mean(axis=0), seeds.shape[1]
        episode = 1 + np.arange(episodes)
        if len(seeds) > 1:
            spread = seeds.std(axis=0, ddof=1)
            axes.fill_between(episode, mean - spread, mean + spread, color=look["color"], alpha=0.22, lw=0)
        axes.plot(episode, mean, **look)
        axes.set(xlabel="training episode", ylabel="Euclidean distance", ylim=(0, None), xlim=(0, episodes))
        axes.set_xticks(range(0, episodes + 1, config.num_documents))


def _toy_weights(state: ToyState) -> Floats:
    return weight_step_sizes(weight_step_gram(state.q, state.w, state.order, state.gram, state.slow))


PANELS: dict[str, Probed] = {
    panel.figure: panel
    for panel in (
        Helix(
            "9", "fig9", "pca", "output layer",
            "First three principal components of the output layer's weights after every episode.",
            "In the units of the weights.",
        ),
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
