"""Figure 10: the loss of task 1 in the toy model.

The paper's text gives a learning rate of 0.01 for f(w) = w with N = M = 1000. There rate ||x||^2 is about
3.3, past the stability limit T/(T-1), and the losses diverge; 0.001 gives the panel (peaks near 19.8, 9.0,
4.1 and 2.1 in epochs 1-4). The first panel is drawn at 0.001 and the last one shows both. For f(w) = y - w
the text draws y from U(-1, 1); the axis of the paper's panel (to 80) suggests N(0, 1): the second panel has
both.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.style import INK, NETWORK, SERIES, SHADE, TOY, figure_style, letter, new_figure
from toymodel import expected_losses, paper_variances, rate_limit, simulate
from toymodel.tasks import random_tasks

__all__ = ["TEXT_RATE", "course", "draw"]

Floats = NDArray[np.float64]
TASKS, EPOCHS = 25, 7
# The rate in the paper's text for f(w) = w, and the one that gives its panel.
TEXT_RATE, RATE = 0.01, 0.001


def course(target: str, dimension: int, rate: float, seed: int | None = None) -> Floats:
    """Loss of task 1 before training and after every episode, shape ``(1 + E*T,)``.

    Args:
        target: ``"none"`` for f(w) = w; ``"uniform"`` or ``"normal"`` for f(w) = y - w.
        dimension: N = M.
        rate: alpha.
        seed: of one simulation; None for the expectation over P, w and y, with the data of seed 0.
    """
    drawn = partial(random_tasks, TASKS, dimension, target="normal" if target == "normal" else "uniform")
    if seed is None:
        values = expected_losses(
            drawn(seed=0).gram,
            dimension=dimension,
            rate=rate,
            epochs=EPOCHS,
            **paper_variances(dimension, target),
        ).values
    else:
        name = "identity" if target == "none" else "reflection"
        values = simulate(drawn(seed=seed), name, rate=rate, epochs=EPOCHS).losses.values
    return np.asarray(values[:, 0])


def peaks(loss: Floats) -> Floats:
    """Largest loss between each visit to task 1 and the next, shape ``(E,)``."""
    return loss[1:].reshape(EPOCHS, TASKS).max(1)


def draw(seeds: int = 3) -> Figure:
    """The two panels of the paper's figure, and the rate of its text.

    Args:
        seeds: simulations shown thin beside the expected loss.
    """
    with figure_style():
        figure = new_figure(12, 3.8)
        first, second, third = figure.subplots(1, 3, width_ratios=[1, 1, 0.85])
        _panel(first, "none", 1000, RATE, seeds, NETWORK, "expected loss")
        letter(first, "a", f"f(w) = w, N = M = 1000, rate {RATE:g}")
        _panel(second, "normal", 100, TEXT_RATE, seeds, TOY, "y ~ N(0, 1), the panel's axis")
        _panel(second, "uniform", 100, TEXT_RATE, seeds, NETWORK, "y ~ U(-1, 1), the text")
        letter(second, "b", f"f(w) = y − w, N = M = 100, rate {TEXT_RATE:g}")
        for axes in (first, second):
            axes.set_ylabel("loss of task 1")
            axes.plot([], [], color=SHADE, linewidth=0.8, label=f"{seeds} simulations")
            axes.legend(loc="upper right")
        first.set_ylim(0, 25)  # as in the paper; the loss before training is far above
        start = course("none", 1000, RATE)[0]
        first.annotate(f"{start:.0f} before training", (0.5, 24.6), (5, 23.5), fontsize=9, va="center",
                       arrowprops={"arrowstyle": "->", "color": INK})  # fmt: skip
        second.set_ylim(0, 85)
        _rates(third)
        letter(third, "c", "f(w) = w at the rate of the text")
        for axes in (first, second, third):
            axes.set_xlabel("training episode")
            axes.set_xticks(range(0, EPOCHS * TASKS + 1, TASKS))
            axes.set_xlim(0, EPOCHS * TASKS)
    return figure


def _panel(
    axes: Axes, target: str, dimension: int, rate: float, seeds: int, line: dict[str, object], label: str
) -> None:
    for seed in range(seeds):
        axes.plot(course(target, dimension, rate, seed), color=SHADE, linewidth=0.7)
    loss = course(target, dimension, rate)
    axes.plot(loss, label=label, **line)  # type: ignore[arg-type]
    for epoch, height in enumerate(peaks(loss)[:4]):
        place = (epoch + 0.5) * TASKS, loss[2 + epoch * TASKS : (epoch + 1) * TASKS].max()
        axes.annotate(f"{height:.1f}", place, (0, 5), textcoords="offset points", ha="center", fontsize=9,
                      color=str(line["color"]), bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6,
                                                      "alpha": 0.8})  # fmt: skip


def _rates(axes: Axes) -> None:
    gram = random_tasks(TASKS, 1000, 1, seed=0).gram
    a, limit = float(np.diag(gram).mean()), rate_limit(gram)
    for rate, line in ((TEXT_RATE, SERIES[1]), (RATE, SERIES[0])):
        style = {key: line[key] for key in ("color", "linestyle")}
        axes.plot(course("none", 1000, rate), linewidth=1.6, **style,
                  label=f"rate {rate:g}: rate·||x||² = {rate * a:.2g}")  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(1e-6, 1e205)
    axes.set_ylabel("loss of task 1")
    axes.text(0.04, 0.72, f"stable up to rate {limit:.2g}", transform=axes.transAxes, color=INK)
    axes.legend(loc="upper left")
