"""The picture of a comparison: network and toy side by side, six panels."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from figures.pages.comparison import Comparison, RecoveryRow, recovery_table
from figures.style import HELD_OUT, INK, NETWORK, SHADE, TOY, figure_style, new_figure
from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import shift_averaged, visits

__all__ = ["draw"]

# How the toy's scores with noise differ from its own: a hollow marker and a finer line.
_NOISY: dict[str, Any] = {"linestyle": ":", "linewidth": 1.2, "marker": "^", "markerfacecolor": "white"}


def draw(comparison: Comparison) -> Figure:
    """One picture with network and toy side by side.

    Panels: (a) loss of the document trained first, with small black circles right before each return
    (paper Fig. 1a); (b) shift-averaged loss (paper Fig. 1b); (c, d) both loss matrices on one colour
    scale; (e) recovery score per epoch; (f) predicted against measured losses of held-out epochs.
    """
    with figure_style():
        figure = new_figure(8.4, 10.6)
        grid = figure.subplots(3, 2)
        network = comparison.network
        _draw_document(grid[0, 0], network, comparison.toy)
        _draw_shift_averaged(grid[0, 1], comparison)
        _draw_matrices(figure, grid[1, 0], grid[1, 1], network, comparison.toy)
        _draw_recovery(grid[2, 0], comparison)
        _draw_prediction(grid[2, 1], comparison, network)
        model = comparison.facts.get("model", "network")
        title = f"{model} and the toy model: {network.tasks} documents, {network.epochs} epochs, "
        title += f"{comparison.seeds} seed{'s' if comparison.seeds > 1 else ''}"
        # A "$" in a model's name is a dollar sign, not mathematics.
        figure.suptitle(textwrap.fill(title, 84).replace("$", r"\$"), fontsize=11)
        # One legend for the whole picture, below every panel, so that none can cover data.
        figure.legend(handles=_legend(comparison), loc="outside lower center", ncols=3)
    return figure


def _legend(comparison: Comparison) -> list[Line2D | Patch]:
    several = comparison.seeds > 1
    name = f"network (mean of {comparison.seeds} seeds)" if several else "network"
    over = "seeds" if several else "documents (one seed)"
    circle: dict[str, Any] = {"marker": "o", "markersize": 4, "linestyle": "none", "color": INK}
    handles: list[Line2D | Patch] = [
        Line2D([], [], label=name, marker="o", markersize=4, **NETWORK),
        Line2D([], [], label="toy, fitted to all epochs", marker="s", markersize=4, **TOY),
        Patch(facecolor=NETWORK["color"], alpha=0.22, label=f"(b) ± standard deviation over {over}"),
        Line2D([], [], label="(a) network right before return", **circle),
        Line2D([], [], label="(a) toy right before return", markerfacecolor="white", **circle),
    ]
    if comparison.toy_noisy:
        look: dict[str, Any] = {**TOY, **_NOISY}
        handles.append(Line2D([], [], label="(e) toy with noise", markersize=4, **look))
    if comparison.held_out is not None:
        label = f"toy, fitted to epochs 1–{comparison.fitted_epochs}"
        if comparison.fitted_epochs == 1:
            label = "toy, fitted to epoch 1"
        handles.insert(2, Line2D([], [], label=label, **HELD_OUT))
        handles.append(Patch(facecolor=SHADE, alpha=0.36, label="(b) held out (light: in part)"))
    return handles


def _episode_axis(axes: Axes, matrix: LossMatrix) -> None:
    if matrix.epochs <= 8:
        axes.set_xticks(np.arange(matrix.epochs + 1) * matrix.tasks)


def _draw_document(axes: Axes, network: LossMatrix, toy: LossMatrix) -> None:
    task = int(network.order[0, 0])
    returns = visits(network)[task][1:]
    episodes = np.arange(network.values.shape[0])
    for name, matrix, look, fill in (("network", network, NETWORK, INK), ("toy", toy, TOY, "white")):
        axes.plot(episodes, matrix.values[:, task], label=name, **look)
        axes.plot(
            returns,
            matrix.values[returns, task],
            linestyle="none",
            marker="o",
            markersize=4,
            color=INK,
            markerfacecolor=fill,
            label=f"{name} right before return",
            zorder=3,
        )
    _episode_axis(axes, network)
    axes.set(title=f"(a) loss of document {task + 1}", xlabel="episodes trained", ylabel="loss")


def _draw_shift_averaged(axes: Axes, comparison: Comparison) -> None:
    network, held_out = comparison.network, comparison.held_out
    curve = shift_averaged(network)
    # Later lags average ever fewer documents, whose levels differ: the mean would jump for no reason.
    whole = curve.count == curve.count.max()
    lag = curve.lag[whole]
    if comparison.seeds > 1:
        means = [shift_averaged(matrix).mean[whole] for matrix in comparison.networks]
        deviation: NDArray[np.float64] = np.std(means, axis=0, ddof=1)
    else:
        deviation = curve.deviation[whole]
    mean = curve.mean[whole]
    if held_out is not None and comparison.fitted_epochs is not None:
        last_fitted = comparison.fitted_epochs * network.tasks
        starts = [int(rows[0]) for rows in visits(network) if len(rows)]
        # The document that starts last leaves the fitted rows first; the shades overlap where all have left.
        for start in (max(starts), min(starts)):
            axes.axvspan(
                min(last_fitted - start, lag[-1]), lag[-1], color=SHADE, alpha=0.2, linewidth=0, zorder=0
            )
        late = lag >= last_fitted - max(starts)
        axes.plot(
            lag[late], shift_averaged(held_out).mean[whole][late], label="held-out", zorder=4, **HELD_OUT
        )
    axes.fill_between(
        lag, mean - deviation, mean + deviation, color=NETWORK["color"], alpha=0.22, linewidth=0, zorder=1
    )
    axes.plot(lag, mean, label="network", **NETWORK)
    axes.plot(lag, shift_averaged(comparison.toy).mean[whole], label="toy", **TOY)
    _episode_axis(axes, network)
    axes.set(
        title="(b) shift-averaged loss", xlabel="episodes since right before first training", ylabel="loss"
    )
    axes.set_xlim(-0.02 * lag[-1], 1.02 * lag[-1])


def _draw_matrices(figure: Figure, left: Axes, right: Axes, network: LossMatrix, toy: LossMatrix) -> None:
    both = np.concatenate([network.values, toy.values])
    # One Normalize object for both images: equal colours are equal losses.
    scale = Normalize(float(both.min()), float(both.max()))
    rows, tasks = network.values.shape
    image = None
    for axes, matrix, title in ((left, network, "(c) network"), (right, toy, "(d) toy")):
        image = axes.imshow(
            matrix.values.T,
            norm=scale,
            aspect="auto",
            interpolation="nearest",
            extent=(-0.5, rows - 0.5, tasks + 0.5, 0.5),
        )
        _episode_axis(axes, matrix)
        axes.set(title=f"{title}: all losses", xlabel="episodes trained", ylabel="document")
    assert image is not None
    figure.colorbar(image, ax=[left, right], location="right", label="loss", fraction=0.05, pad=0.02)


def _draw_recovery(axes: Axes, comparison: Comparison) -> None:
    table = recovery_table(comparison)
    axes.set_title("(e) recovery score")
    if not table:
        _say(axes, "No recovery score: every document was trained only once.")
        return
    epoch = np.array([row.epoch for row in table])
    score = np.array([row.network for row in table])
    spread = np.array([math.nan if row.deviation is None else row.deviation for row in table])
    # The series are moved a little apart so that neither hides the other's error bar.
    axes.errorbar(
        epoch - 0.04,
        score,
        yerr=spread if np.isfinite(spread).any() else None,
        marker="o",
        markersize=5,
        capsize=3,
        label="network",
        **NETWORK,
    )
    toy = np.array([row.toy.value for row in table])
    axes.plot(epoch + 0.04, toy, marker="s", markersize=5, label="toy", **TOY)
    if comparison.toy_noisy:
        noisy = np.array([score.value for score in comparison.toy_noisy])
        axes.plot(epoch, noisy, markersize=5, label="toy with noise", **{**TOY, **_NOISY})
    absent = False
    for series, values, height, look in (("network", score, -0.09, NETWORK), ("toy", toy, -0.18, TOY)):
        for where in epoch[~np.isfinite(values)]:
            absent = True
            axes.text(
                where, height, f"{series}: none", color=look["color"], ha="center", va="center", fontsize=8
            )
    # The strip below zero belongs to absent scores alone.
    axes.set_ylim(-0.26 if absent else -0.03, 1.05)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xlim(0.5, len(table) + 0.5)
    if len(table) <= 12:
        axes.set_xticks(epoch)
    bars = "bars: standard deviation over seeds" if comparison.seeds > 1 else "one seed: no error bars"
    lines = [f"epoch ({bars})", *_absent_scores(table, comparison.seeds)]
    axes.set_ylabel("recovery score")
    axes.set_xlabel("\n".join(textwrap.fill(line, 52) for line in lines), fontsize=9)


def _absent_scores(table: list[RecoveryRow], seeds: int) -> list[str]:
    """One line per series and reason, naming the epochs without a score."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in table:
        if row.network_reason:
            missing = f"{seeds - row.seeds} of {seeds} seeds" if row.seeds else ""
            who = f"network ({missing})" if missing else "network"
            found.setdefault((who, row.network_reason), []).append(str(row.epoch))
        if not row.toy:
            found.setdefault(("toy", row.toy.reason), []).append(str(row.epoch))
    return [f"{who}, epoch {', '.join(epochs)}: {reason}" for (who, reason), epochs in found.items()]


def _draw_prediction(axes: Axes, comparison: Comparison, network: LossMatrix) -> None:
    axes.set_title("(f) prediction of held-out epochs")
    if comparison.held_out is None or comparison.fitted_epochs is None:
        reason = comparison.held_out_reason or "the toy model was fitted to all epochs and none was held out"
        _say(axes, f"No prediction to show: {reason}.")
        return
    first = 1 + comparison.fitted_epochs * network.tasks
    measured = network.values[first:].ravel()
    predicted = comparison.held_out.values[first:].ravel()
    axes.plot(
        measured,
        predicted,
        linestyle="none",
        marker=".",
        markersize=4,
        color=HELD_OUT["color"],
        alpha=0.35,
        markeredgewidth=0,
        rasterized=True,
        label="losses",
    )
    low, high = min(measured.min(), predicted.min()), max(measured.max(), predicted.max())
    axes.plot([low, high], [low, high], color=INK, linewidth=1, label="identity")
    value = comparison.held_out_r2
    worth = "not given" if value is None else f"= {value:.3f}"
    span = f"epochs {comparison.fitted_epochs + 1}–{network.epochs}"
    if comparison.fitted_epochs + 1 == network.epochs:
        span = f"epoch {network.epochs}"
    axes.set_title(f"(f) {span} held out: $R^2$ {worth}")
    axes.set(xlabel="measured loss (line: equality)", ylabel="predicted loss")


def _say(axes: Axes, sentence: str) -> None:
    """Words in place of a panel."""
    axes.set_axis_off()
    words = textwrap.fill(sentence, 34).replace("$", r"\$")
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes)
