"""Figure 9: the output layer's path through three epochs, in its first three principal components."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.evidence.runs import Runs
from figures.panels.matrices import member_of, toy_state
from figures.style import figure_style, letter, new_figure
from llm.runs.finished import Run
from toymodel.theory.trajectories import pca, turns

__all__ = ["PANELS", "Helix", "path", "turns_per_epoch"]

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


class Helix:
    """The figure."""

    figure = "9"
    families = ("fig9",)

    def draw(self, runs: Runs) -> Figure:
        """The first seed's path beside the toy's.

        Raises:
            MissingRuns: when there is no run.
        """
        member = member_of(runs, "9", "fig9", "fig9")
        tasks = member.config.num_documents
        state = toy_state(member.config)
        with figure_style():
            figure = new_figure(7.2, 3.6)
            for place, name, points in (
                (1, f"output layer, seed {member.runs[0].config.seed}", path(member.runs[0])[0]),
                (2, "toy: w", pca(state.w[1:], 3).coordinates),
            ):
                axes = figure.add_subplot(1, 2, place, projection="3d")
                self._path(axes, points, tasks)
                axes.set_title(name) if place == 2 else letter(axes, "9", name)
            for epoch in range(1, member.config.epochs + 1):
                figure.axes[0].plot([], [], [], "o", markersize=4, label=f"epoch {epoch}",
                                    color=_shade(epoch - 1, member.config.epochs))  # fmt: skip
            figure.legend(loc="outside lower center", ncols=member.config.epochs)
        return figure

    def caption(self, runs: Runs) -> str:
        """What is drawn, in words."""
        member = member_of(runs, "9", "fig9", "fig9")
        points, explained = path(member.runs[0])
        turned = turns_per_epoch(points, member.config.num_documents)
        return (
            "First three principal components of the output layer's weights after every episode of the first "
            f"seed (of {len(member.runs)}); they hold {explained.sum():.0%} of the variance. About "
            f"its moving axis the path turns {turned:.2f} times per epoch. "
            "The first document of each epoch is ringed. Right: the toy's fast weights."
        )

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


PANELS = {"9": Helix()}
