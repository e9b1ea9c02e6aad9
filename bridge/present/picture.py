"""One picture of what a fit found, and one of the runs that it predicted."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bridge.estimate.result import FitResult
from bridge.judge.curves import LagCurves, lag_curves
from bridge.judge.findings import Findings, find
from bridge.judge.forecast import Forecast
from bridge.judge.goodness import residuals_by_lag

__all__ = ["draw_curves", "plot"]

# Blue and vermilion of the Okabe-Ito palette, told apart by every reader; dashes part them in grey.
NETWORK: dict[str, Any] = {"color": "#0072b2"}
TOY: dict[str, Any] = {"color": "#d55e00", "linestyle": "--"}
AHEAD: dict[str, Any] = {"color": "#009e73", "linestyle": ":"}
NULL = "#7f7f7f"


def plot(found: Findings | FitResult, ahead: Forecast | None = None) -> Figure:
    """Losses by lag, one line an epoch; predicted against measured; residuals; scores; nulls.

    Args:
        found: what was found; of a fit alone it is computed here.
        ahead: its forecast, where only the fit is given.
    """
    if not isinstance(found, Findings):
        found = find(found, ahead)
    figure = Figure(figsize=(10.5, 7.6), dpi=150, layout="constrained")
    axes = figure.subplot_mosaic("AAB\nCDE")
    data = found.fit.data
    _curves(axes["A"], found)
    _scatter(axes["B"], found)
    _residuals(figure, axes["C"], found)
    _recovery(axes["D"], found)
    _nulls(axes["E"], found)
    figure.suptitle(
        f"{data.tasks} documents, {data.epochs} epochs: R² {found.curves_r2:.3f} of the curves by lag, "
        f"{found.fit.r2:.3f} of all losses",
        fontsize=11,
    )
    return figure


def draw_curves(
    axes: Any, network: LagCurves, toy: LagCurves, ahead: LagCurves | None = None, first: int = 0
) -> None:
    """Mean loss by episodes since the last visit: one line for every visit, network and toy on each other.

    Args:
        axes: where.
        network: measured.
        toy: fitted.
        ahead: predicted without them, for the visits from `first` on (from 0).
        first: see `ahead`.
    """
    visits = len(network.mean)
    colours = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.85, visits))
    lag = np.arange(network.mean.shape[1])
    for n in range(visits):
        # A mean over few documents jumps as they drop out.
        seen = network.count[n] >= max(network.count[n].max() / 2, 1)
        axes.plot(lag[seen], network.mean[n][seen], color=colours[n], linewidth=1.8)
        axes.plot(lag[seen], toy.mean[n][seen], color=colours[n], linewidth=1.3, linestyle="--")
        if ahead is not None and n >= first:
            axes.plot(lag[seen], ahead.mean[n][seen], color=colours[n], linewidth=2.0, linestyle=":")
        axes.annotate(f"{n + 1}", (lag[seen][-1], network.mean[n][seen][-1]), xytext=(4, 0),
                      textcoords="offset points", color=colours[n], fontsize=8, va="center")  # fmt: skip
    axes.set(xlabel="episodes since the last visit", ylabel="mean loss")
    axes.set_ylim(bottom=0)
    handles = [Line2D([], [], color="0.2", linewidth=1.8, label="network"),
               Line2D([], [], color="0.2", linewidth=1.3, linestyle="--", label="toy")]  # fmt: skip
    if ahead is not None:
        handles.append(Line2D([], [], color="0.2", linewidth=2.0, linestyle=":", label="toy, epoch held out"))
    axes.legend(handles=handles, frameon=False, fontsize=8, loc="upper left", ncols=len(handles))
    axes.set_ylim(top=1.12 * axes.get_ylim()[1])


def _curves(axes: Any, found: Findings) -> None:
    ahead = found.ahead
    held = lag_curves(ahead.prediction) if ahead is not None and ahead.prediction is not None else None
    draw_curves(axes, found.curves, found.toy_curves, held, ahead.fitted_epochs if held and ahead else 0)
    axes.set_title("(a) loss by lag, one line for every visit (numbered)")


def _scatter(axes: Any, found: Findings) -> None:
    ahead = found.ahead
    values, guess = found.fit.data.values, found.fit.prediction.values
    title, label = "all losses", "fitted"
    if ahead is not None and ahead.prediction is not None:
        first = 1 + ahead.fitted_epochs * found.fit.data.tasks
        values, guess, label = values[first:], ahead.prediction.values[first:], "predicted"
        title = f"losses after epoch {ahead.fitted_epochs}, held out"
    measured_against_predicted(axes, values, guess, label)
    axes.set_title(f"(b) {title}")


def measured_against_predicted(axes: Any, values: np.ndarray, guess: np.ndarray, label: str) -> None:
    """A point for every loss: measured to the right, predicted upwards, as in every picture here."""
    top = 1.03 * float(max(values.max(), guess.max()))
    low = min(float(min(values.min(), guess.min())), 0.0)
    axes.plot([low, top], [low, top], color="0.6", linewidth=1)
    axes.plot(values.ravel(), guess.ravel(), ".", markersize=2, alpha=0.5, color="#0072b2", rasterized=True)
    axes.set(xlabel="measured loss", ylabel=f"{label} loss")
    axes.set(xlim=(low, top), ylim=(low, top), aspect="equal")


def _residuals(figure: Figure, axes: Any, found: Findings) -> None:
    mean, _ = residuals_by_lag(found.fit.data, found.fit.prediction)
    # Single cells before the first visit can be far off; they do not set the scale.
    largest = float(np.nanquantile(np.abs(mean), 0.98)) or 1.0
    image = axes.imshow(
        mean, aspect="auto", cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest",
        extent=(-0.5, mean.shape[1] - 0.5, mean.shape[0] - 0.5, -0.5),
    )  # fmt: skip
    axes.set(title="(c) measured less fitted", xlabel="episodes since the last visit", ylabel="visits so far")
    axes.set_yticks(range(0, mean.shape[0], max(1, mean.shape[0] // 8)))
    figure.colorbar(image, ax=axes, label="mean loss", extend="both")


def _recovery(axes: Any, found: Findings) -> None:
    looks: tuple[tuple[str, str, dict[str, Any], float], ...] = (
        ("network", "network", {"marker": "o", **NETWORK}, -0.04),
        ("toy", "toy", {"marker": "s", **TOY}, 0.04),
        ("toy_with_noise", "toy, documents' departures",
         {"marker": "^", "color": TOY["color"], "linestyle": ":", "markerfacecolor": "white"}, 0.0),
    )  # fmt: skip
    for kind, label, look, shift in looks:
        known = [r for r in found.recovery if getattr(r, kind)]
        axes.plot([r.epoch + shift for r in known], [getattr(r, kind).value for r in known], linewidth=1.4,
                  markersize=5, label=label, **look)  # fmt: skip
    last = len(found.recovery)
    if found.epochs_ahead is not None:
        for n, score in enumerate(found.epochs_ahead.scores, start=last + 1):
            if score.value is not None:
                label = "toy, not trained yet" if n == last + 1 else ""
                ends = [[score.value - score.low], [score.high - score.value]]
                axes.errorbar(n, score.value, ends, capsize=3, marker="D", markersize=4, label=label,
                              color=AHEAD["color"])  # fmt: skip
        last += len(found.epochs_ahead.scores)
    axes.set(title="(d) recovery score", xlabel="epoch", ylabel="recovery score", ylim=(-0.03, 1.05))
    axes.set_xticks(range(1, last + 1, max(1, last // 8)))
    axes.legend(frameon=False, fontsize=8, loc="best")


def _nulls(axes: Any, found: Findings) -> None:
    ahead = found.ahead
    axes.set_title("(e) held-out epochs against nulls")
    if ahead is None or ahead.r2 is None:
        axes.text(0.5, 0.5, ahead.reason if ahead is not None else "no forecast was asked for", ha="center",
                  va="center", transform=axes.transAxes, wrap=True, fontsize=9)  # fmt: skip
        axes.set_axis_off()
        return
    rows = [("toy", ahead.r2, str(TOY["color"])), *((name, r2, NULL) for name, r2 in ahead.nulls.items())]
    rows.sort(key=lambda row: row[1])
    names, values, colours = zip(*rows, strict=True)
    axes.barh(range(len(rows)), np.clip(values, 0.0, 1.0), height=0.32, color=colours)
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        axes.text(0.01, place + 0.2, name, fontsize=7, va="bottom")
        axes.text(1.02, place, f"{value:.2f}", fontsize=8, va="center")
    axes.set(xlim=(0, 1), xlabel="R² of the epochs held out", ylim=(-0.6, len(rows)), yticks=[])
