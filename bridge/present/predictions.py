"""Predicted runs beside those found: a row of pictures for each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from bridge.judge.predictions import Prediction
from bridge.present.picture import NETWORK, NULL, TOY

__all__ = ["plot_predictions"]


def plot_predictions(predictions: Sequence[Prediction]) -> Figure:
    """For every run its losses as found, as predicted, and as if nothing had changed; and their means."""
    figure = Figure(figsize=(13.5, 3.4 * len(predictions)), dpi=150, layout="constrained")
    grid = figure.subplots(len(predictions), 5, squeeze=False, width_ratios=(1, 1, 1, 1.05, 1.05))
    for row, prediction in zip(grid, predictions, strict=True):
        _matrices(figure, row[:3], prediction)
        _means(row[3], prediction.after_epochs, "mean loss after each epoch")
        _means(row[4], prediction.online, "loss right before training")
    grid[0, 3].legend(frameon=False, fontsize=8)
    return figure


def _title(p: Prediction) -> str:
    # A "$" in a name is a dollar sign, not mathematics.
    return textwrap.fill(f"{p.run}: {p.change.words}", 40).replace("$", r"\$")


def _matrices(figure: Figure, row: Any, p: Prediction) -> None:
    values = [p.truth.values, p.guess.values, p.null.values]
    # One scale: equal colours are equal losses. The null may run away; it does not set the scale.
    scale = Normalize(float(min(v.min() for v in values[:2])), float(max(v.max() for v in values[:2])))
    titles = (f"{_title(p)}\nfound", f"predicted by the toy\nR² {p.r2:.3f}",
              f"as if nothing changed\nR² {p.null_r2:.3f}")  # fmt: skip
    rows, tasks = p.truth.values.shape
    for axes, matrix, title in zip(row, values, titles, strict=True):
        image = axes.imshow(matrix.T, norm=scale, aspect="auto", interpolation="nearest",
                            extent=(-0.5, rows - 0.5, tasks + 0.5, 0.5))  # fmt: skip
        axes.set_title(title, fontsize=9)
        axes.set(xlabel="episodes trained", ylabel="document")
        axes.set_xticks(np.arange(0, rows, tasks * max(1, (rows // tasks) // 6)))
    figure.colorbar(image, ax=list(row), label="loss", fraction=0.05, pad=0.01)


def _means(axes: Any, columns: Sequence[np.ndarray], title: str) -> None:
    looks: tuple[tuple[str, dict[str, Any]], ...] = (
        ("found", {"marker": "o", **NETWORK}),
        ("toy", {"marker": "s", **TOY}),
        ("as if nothing changed", {"marker": "x", "color": NULL, "linestyle": "-."}),
    )
    for (label, look), values in zip(looks, columns, strict=True):
        axes.plot(range(1, len(values) + 1), values, label=label, linewidth=1.4, markersize=4, **look)
    axes.set_title(title, fontsize=9)
    axes.set(xlabel="epoch", ylabel="loss")
    count = len(columns[0])
    axes.set_xticks(range(1, count + 1, max(1, count // 6)))
    axes.set_ylim(bottom=0)
