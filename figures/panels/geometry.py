"""The paper's Figs. 8, 9, 17 and 18 for the toy model, from moments alone (docs/theory.md, section 10)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.style import SERIES, figure_style, letter, new_figure
from toymodel import cyclic_order, shares, turns_per_epoch
from toymodel.theory.trajectories import (
    compressed_run,
    cosines,
    gradient_cosines,
    pairwise_recovery,
    pca,
    step_sizes,
    turns,
    weight_residual_cosines,
    weight_step_gram,
    weight_step_sizes,
)

__all__ = ["draw"]

Floats = NDArray[np.float64]


def _moments(q: Floats, w: Floats) -> Floats:
    u = np.vstack([q, w])
    return np.asarray(u @ u.T)


def _map(axes: Axes, values: Floats, low: float, high: float, label: str, first: int = 0) -> None:
    ends = first - 0.5, first + len(values) - 0.5
    extent = (*ends, *ends[::-1])
    mesh = axes.imshow(values, vmin=low, vmax=high, extent=extent, interpolation="nearest", rasterized=True)
    axes.figure.colorbar(mesh, ax=axes, shrink=0.85, pad=0.02, label=label)


def draw(tasks: int = 25, share: float = 1 / 3, epochs: int = 4) -> Figure:
    """Eight panels for f(w) = w, orthogonal data, and independent solution vectors to begin with.

    Args:
        tasks: T.
        share: a = rate ||x||^2, with one full fast step.
        epochs: E.
    """
    T = tasks
    gram = np.eye(T)
    a, b = (float(v) for v in shares(share))
    start = np.diag([1.0] * T + [1 / 3])
    order = cyclic_order(T, epochs)
    q, w = compressed_run(start, gram, a, b, order)
    end = _moments(q[-1], w[-1])
    with figure_style():
        figure = new_figure(15.5, 7)
        grid = figure.subplots(2, 4)
        ((gradients, recovery, residuals, activations), (helix, moved, weights, longer)) = grid
        _map(gradients, gradient_cosines(end, gram), -1, 1, "cosine")
        letter(gradients, "8a", "gradients of w")
        gradients.set(xlabel="task", ylabel="task")

        found = pairwise_recovery(end, gram, a, b)
        limit = float(np.abs(found[~np.eye(T, dtype=bool)]).max())
        _map(recovery, found, -limit, limit, "fall of the loss")
        letter(recovery, "8b", "pairwise recovery")
        recovery.set(xlabel="evaluated on", ylabel="trained on")

        steps = weight_step_gram(q, w, order, gram, a)
        rows, similar = weight_residual_cosines(steps, T)
        late = rows >= T
        _map(residuals, similar[np.ix_(late, late)], -1, 1, "cosine", first=int(rows[late][0]))
        letter(residuals, "8c", "weight residuals (eq. 2)")
        residuals.set(xlabel="episode", ylabel="episode")

        _map(activations, cosines(q[: 3 * T + 1, 0]), 0, 1, "cosine")
        letter(activations, "8d", "activations of task 1, P x")
        activations.set(xlabel="episode", ylabel="episode")

        _helix(helix, a, b, T)
        moved.plot(np.arange(1, epochs * T + 1), step_sizes(q[:, 0]), **_line(0))
        letter(moved, "17a", "change of task 1's activations")
        weights.plot(np.arange(1, epochs * T + 1), weight_step_sizes(steps), **_line(0), label="P and w")
        for n, (part, name) in enumerate((("slow", "P"), ("fast", "w")), 1):
            sizes = weight_step_sizes(weight_step_gram(q, w, order, gram, a, part=part))
            weights.plot(np.arange(1, epochs * T + 1), sizes, **_line(n), label=name)
        letter(weights, "17b", "change of the weights")
        weights.legend(loc="upper right")
        for axes in (moved, weights):
            axes.set(xlabel="training episode", ylabel="distance", ylim=(0, None))

        many = 100
        q, w = compressed_run(np.diag([1.0] * many + [1 / 3]), np.eye(many), a, b, cyclic_order(many, epochs))
        found = pairwise_recovery(_moments(q[-1], w[-1]), np.eye(many), a, b)
        limit = float(np.abs(found[~np.eye(many, dtype=bool)]).max())
        _map(longer, found, -limit, limit, "fall of the loss")
        letter(longer, "18b", f"pairwise recovery, T = {many}")
        longer.set(xlabel="evaluated on", ylabel="trained on")
    return figure


def _line(n: int) -> dict[str, object]:
    return {"color": SERIES[n]["color"], "linestyle": SERIES[n]["linestyle"], "linewidth": 1.4}


def _helix(axes: Axes, a: float, b: float, T: int, first: int = 6, shown: int = 6) -> None:
    """Two components of w once the ring is there: one turn per epoch, less what the pattern moves on."""
    order = cyclic_order(T, first + shown)
    _, w = compressed_run(np.diag([1.0] * T + [1 / 3]), np.eye(T), a, b, order)
    points = pca(w[first * T :]).coordinates
    axes.plot(points[:, 0], points[:, 1], color="0.7", linewidth=0.8, zorder=1)
    mark = axes.scatter(points[:, 0], points[:, 1], c=first + np.arange(len(points)) / T, s=9, zorder=2)
    axes.figure.colorbar(mark, ax=axes, shrink=0.85, pad=0.02, label="epoch")
    measured, predicted = turns(points) / shown, turns_per_epoch(a, b, T)
    letter(axes, "9", f"w turns {measured:.3f} times per epoch\n(predicted in the end: {predicted:.3f})")
    axes.set(xlabel="first component", ylabel="second component", aspect="equal")
