"""Orders in theory (lines) and in networks (marks): spectra, online and final loss, crossing, bounds.

Marks are Pythia-1B with Adam on 25 news articles, one seed, and the embedded network, mean and standard
deviation over the seeds that are recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.evidence.collection import Runs, recorded
from figures.style import INK, SERIES, SHADE, figure_style, letter, new_figure
from llm.presets import family
from toymodel import (
    InputError,
    LossMatrix,
    coupling,
    crossing_epoch,
    cyclic_order,
    difference_losses,
    distance_to_solution,
    epoch_spectrum,
    forgetting_bounds,
    online_loss,
    order_course,
    palindrome_spectrum,
    relaxation,
)

__all__ = ["PANELS", "draw"]

Floats = NDArray[np.float64]
T, EPOCHS, LONG, VARIANCE_W = 25, 5, 12, 1 / 3
SHARES = (0.1, 0.2, 1 / 3, 0.5)
Measure = Callable[[LossMatrix], Floats]


def spectrum(axes: Axes, runs: Runs) -> None:
    """Two epochs of the cyclic order turn, a palindrome does not."""
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, 400))
    axes.plot(circle.real, circle.imag, color=SHADE, linewidth=0.8)
    cyclic = epoch_spectrum(np.eye(T), 1 / 3, 2 / 3) ** 2
    real = palindrome_spectrum(np.eye(T), 1 / 3, 2 / 3)
    axes.plot(cyclic.real, cyclic.imag, label="two cyclic epochs", **_marks(0))
    axes.plot(real, np.zeros(T), label="palindrome: forward, backward", **_marks(1))
    axes.set(xlabel="Re λ", ylabel="Im λ", aspect="equal", xlim=(-0.3, 1.1), ylim=(-0.55, 0.85))
    axes.legend(loc="upper left")


def _marks(n: int) -> dict[str, Any]:
    look = {"linestyle": "none", "markersize": 4.5, "markerfacecolor": "none", "markeredgewidth": 1.1}
    return look | {"color": SERIES[n]["color"], "marker": SERIES[n]["marker"]}


def _end(losses: LossMatrix) -> Floats:
    return losses.values[losses.tasks :: losses.tasks].mean(1)


def _networks(axes: Axes, runs: Runs, one: str, other: str, of: Measure, presets: str) -> None:
    """Ratios by epoch in the recorded networks, where they are recorded."""
    names = {"cyclic": "pythia-1b-adam-seed0", "reshuffled": "pythia-1b-adam-reshuffled-seed0"}
    try:
        both = [of(runs.named(names[order]).losses) for order in (one, other)]
        axes.plot(1 + np.arange(len(both[0])), both[0] / both[1], "*", color=INK, markersize=10, zorder=5,
                  label="Pythia-1B, Adam")  # fmt: skip
    except (InputError, KeyError):
        pass
    found = {
        preset.label: {run.config.seed: of(run.losses) for run in runs.member(preset).runs}
        for preset in family(presets)
        if preset.label in (one, other)
    }
    ratios = np.array([v / found[other][seed] for seed, v in found[one].items() if seed in found[other]])
    if len(ratios):
        deviation = ratios.std(0, ddof=1) if len(ratios) > 1 else None
        axes.errorbar(1 + np.arange(ratios.shape[1]), ratios.mean(0), deviation, fmt="D", markersize=5,
                      color=SERIES[2]["color"], capsize=2, zorder=4,
                      label=f"embedded network, {len(ratios)} seed{'s' * (len(ratios) > 1)}")  # fmt: skip


def _ratios(axes: Axes, runs: Runs, one: str, other: str, kind: str, epochs: int = EPOCHS) -> None:
    for n, a in enumerate(SHARES):
        both = [order_course(o, a, 1 - a, T, epochs, variance_w=VARIANCE_W) for o in (one, other)]
        values = [course.online if kind == "online" else course.end for course in both]
        look = SERIES[n % len(SERIES)]
        axes.plot(1 + np.arange(epochs), values[0] / values[1], color=look["color"], linewidth=1.3,
                  linestyle=look["linestyle"], label=f"toy, a = {a:.2g}")  # fmt: skip
    axes.axhline(1, color=SHADE, linewidth=0.8)
    presets = "crossing-embedded" if epochs == LONG else "orders-embedded"
    _networks(axes, runs, one, other, online_loss if kind == "online" else _end, presets)
    axes.set(xlabel="epoch", ylabel=f"{one} / {other}", xticks=range(1, epochs + 1))


def online(axes: Axes, runs: Runs) -> None:
    """A fixed order wins on the way, until the courses cross."""
    _ratios(axes, runs, "cyclic", "reshuffled", "online", LONG)
    axes.legend(loc="upper left", fontsize=7.5, frameon=True, framealpha=0.9, edgecolor="none")
    axes.set_ylim(0.55, 2.1)


def end(axes: Axes, runs: Runs) -> None:
    """And loses in the end."""
    _ratios(axes, runs, "cyclic", "reshuffled", "end")
    axes.set_yscale("log")
    axes.legend(loc="upper left", fontsize=7.5)


def there_and_back(axes: Axes, runs: Runs) -> None:
    """A palindrome: no worse on the way, worse in the end."""
    _ratios(axes, runs, "palindrome", "cyclic", "end")
    axes.legend(loc="upper left", fontsize=7.5)


def crossing(axes: Axes, runs: Runs) -> None:
    """Where the online losses of a fixed and a reshuffled order cross."""
    shares = np.linspace(0.06, 0.7, 33)
    for n, tasks in enumerate((10, 25, 50)):
        found = [crossing_epoch(a, 1 - a, tasks, variance_w=VARIANCE_W) or np.nan for a in shares]
        look = SERIES[n]
        axes.plot(shares, found, color=look["color"], linestyle=look["linestyle"], label=f"T = {tasks}")
    axes.plot(shares, 1.6 / shares + 1, color=INK, linewidth=0.9, label="1.6/a + 1")
    axes.set(xlabel="a = rate·||x||²", ylabel="epoch of crossing", yscale="log")
    axes.set_yticks([2, 3, 5, 10, 20], ["2", "3", "5", "10", "20"])
    axes.minorticks_off()
    axes.legend(loc="upper right")


def bounds(axes: Axes, runs: Runs) -> None:
    """The toy's cyclic losses under what is proved for the worst data."""
    cycles = 60
    episodes = np.arange(1, 1 + cycles * T)
    for n, (name, gram) in enumerate((("orthogonal data", np.eye(T)), ("random data", _random_gram()))):
        form = relaxation(gram, 1 / 3, 2 / 3)
        rows = difference_losses(np.eye(T), coupling(gram, 1 / 3, 2 / 3), cyclic_order(T, cycles))
        size = distance_to_solution(np.eye(T), form.matrix)
        axes.plot(episodes, 2 * rows.mean(1)[1:] / size, color=SERIES[n]["color"],
                  linestyle=SERIES[n]["linestyle"], label=f"toy, {name}")  # fmt: skip
    proved, order = forgetting_bounds(T, episodes, T)
    axes.plot(episodes, proved, color=INK, label="T² min(1/√k, d/k)")
    axes.plot(episodes, order, color=INK, linestyle=(0, (4, 1.6)), label="T²/m, up to a factor")
    axes.set(xscale="log", yscale="log", xlabel="episodes k", ylabel="mean e² per squared distance")
    axes.legend(loc="lower left", fontsize=8)


def _random_gram() -> Floats:
    x = np.random.default_rng(0).normal(size=(T, 2 * T))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    found: Floats = x @ x.T
    return found


PANELS: dict[str, tuple[Callable[[Axes, Runs], None], str]] = {
    "a": (spectrum, "eigenvalues of two epochs, T = 25, a = 1/3"),
    "b": (online, "online loss by epoch, to where it crosses"),
    "c": (end, "loss over all tasks after each epoch"),
    "d": (there_and_back, "the same, palindrome against cyclic"),
    "e": (crossing, "online losses cross"),
    "f": (bounds, "bounds on cyclic forgetting, a = 1/3"),
}


def draw() -> Figure:
    """All panels."""
    runs = recorded()
    with figure_style():
        figure = new_figure(13.2, 7.8)
        for (name, (panel, title)), axes in zip(PANELS.items(), figure.subplots(2, 3).flat, strict=True):
            panel(axes, runs)
            letter(axes, name, title)
    return figure
