"""Figure 11: the solution vectors f_i^{-1}(P x_i) of the toy model become a ring in the order of training.

f(w) = y - w with N = M = 100, T = 25 and rate 0.01; two principal components of the T vectors at each epoch.
The axes of the paper's panels (to 6) fit y ~ N(0, 1), its text says y ~ U(-1, 1): one row each.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.style import figure_style, new_figure
from toymodel import simulate
from toymodel.tasks import random_tasks
from toymodel.theory.trajectories import pca

__all__ = ["draw", "rings"]

TASKS, DIMENSION, RATE = 25, 100, 0.01
EPOCHS = (0, 1, 2, 4, 10)


def rings(target: str, seed: int = 0) -> list[tuple[NDArray[np.float64], float]]:
    """For each epoch shown: two principal components, shape ``(T, 2)``, and their share of the variance."""
    tasks = random_tasks(TASKS, DIMENSION, seed=seed, target=target)
    q = simulate(tasks, "reflection", rate=RATE, epochs=max(EPOCHS), record="q").trajectories["q"]
    shown = []
    for epoch in EPOCHS:
        found = pca(q[epoch * TASKS])
        shown.append((found.coordinates, float(found.explained.sum())))
    return shown


def draw(seed: int = 0) -> Figure:
    """Two rows of panels, epochs 0, 1, 2, 4 and 10.

    Args:
        seed: of the simulation.
    """
    with figure_style():
        figure = new_figure(12, 5.4)
        grid = figure.subplots(2, len(EPOCHS), sharex="row", sharey="row")
        rows = (("normal", "y ~ N(0, 1)"), ("uniform", "y ~ U(−1, 1)"))
        for row, (target, name) in zip(grid, rows, strict=True):
            shown = rings(target, seed)
            limit = 1.1 * max(np.abs(points).max() for points, _ in shown)
            for axes, epoch, (points, share) in zip(row, EPOCHS, shown, strict=True):
                mark = _ring(axes, points, limit)
                axes.set_title(f"epoch {epoch}: {share:.0%} of variance", fontsize=9.5)
            row[0].set_ylabel(f"{name}\nsecond component")
        for axes in grid[-1]:
            axes.set_xlabel("first component")
        bar = figure.colorbar(mark, ax=grid, aspect=40, pad=0.01, ticks=[1, 5, 10, 15, 20, 25])
        bar.set_label("task")
    return figure


def _ring(axes: Axes, points: NDArray[np.float64], limit: float) -> PathCollection:
    around = np.vstack([points, points[:1]])
    axes.plot(around[:, 0], around[:, 1], color="0.75", linewidth=0.8, zorder=1)
    mark = axes.scatter(points[:, 0], points[:, 1], c=np.arange(1, len(points) + 1), s=26, zorder=2,
                        edgecolors="0.2", linewidths=0.4, vmin=1, vmax=len(points))  # fmt: skip
    axes.annotate("1", points[0], (5, 4), textcoords="offset points", fontsize=8)
    axes.set(aspect="equal", xlim=(-limit, limit), ylim=(-limit, limit))
    return mark
