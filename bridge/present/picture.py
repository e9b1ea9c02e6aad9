"""One picture of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bridge.estimate.result import FitResult
from bridge.judge.forecast import Forecast
from bridge.judge.goodness import noisy_recovery, residuals_by_lag
from toymodel import recovery_scores, shift_averaged

__all__ = ["plot"]

# Blue and vermilion of the Okabe-Ito palette, told apart by every reader; dashes part them in grey.
_NETWORK: dict[str, Any] = {"color": "#0072b2"}
_TOY: dict[str, Any] = {"color": "#d55e00", "linestyle": "--"}
_AHEAD: dict[str, Any] = {"color": "#009e73", "linestyle": ":"}


def plot(result: FitResult, ahead: Forecast | None = None) -> Figure:
    """Shift-averaged losses, predicted against measured ones, residuals by visit and lag, recovery scores."""
    figure = Figure(figsize=(9.0, 7.0), dpi=150, layout="constrained")
    axes = figure.subplots(2, 2)
    data, guess = result.data, result.prediction
    _curves(axes[0, 0], result, ahead)
    _scatter(axes[0, 1], result, ahead)
    _residuals(figure, axes[1, 0], result)
    _recovery(axes[1, 1], result)
    figure.suptitle(
        f"{data.tasks} documents, {data.epochs} epochs: R² {result.r2:.3f} over all losses", fontsize=11
    )
    assert guess.values.shape == data.values.shape
    return figure


def _curves(axes: Any, result: FitResult, ahead: Forecast | None) -> None:
    measured, guess = shift_averaged(result.data), shift_averaged(result.prediction)
    whole = measured.count == measured.count.max()
    axes.plot(measured.lag[whole], measured.mean[whole], label="measured", linewidth=1.6, **_NETWORK)
    axes.plot(guess.lag[whole], guess.mean[whole], label="fitted", linewidth=1.4, **_TOY)
    if ahead is not None and ahead.prediction is not None:
        later = shift_averaged(ahead.prediction)
        # Where the first documents enter the held-out epochs; the others follow within one epoch.
        held = whole & (later.lag >= (ahead.fitted_epochs - 1) * result.data.tasks)
        label = f"predicted from epochs 1–{ahead.fitted_epochs}"
        axes.plot(later.lag[held], later.mean[held], label=label, linewidth=1.8, **_AHEAD)
    axes.set(
        title="(a) shift-averaged loss", xlabel="episodes since right before first training", ylabel="loss"
    )
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)


def _scatter(axes: Any, result: FitResult, ahead: Forecast | None) -> None:
    values, guess = result.data.values, result.prediction.values
    title, label = "all losses", "fitted"
    if ahead is not None and ahead.prediction is not None:
        first = 1 + ahead.fitted_epochs * result.data.tasks
        values, guess, label = values[first:], ahead.prediction.values[first:], "predicted"
        title = f"losses after epoch {ahead.fitted_epochs}, held out"
    top = 1.03 * float(max(values.max(), guess.max()))
    axes.plot([0, top], [0, top], color="0.6", linewidth=1)
    axes.plot(guess.ravel(), values.ravel(), ".", markersize=2, alpha=0.5, color="#0072b2", rasterized=True)
    axes.set(title=f"(b) {title}", xlabel=f"{label} loss", ylabel="measured loss")
    axes.set(xlim=(0, top), ylim=(0, top), aspect="equal")


def _residuals(figure: Figure, axes: Any, result: FitResult) -> None:
    mean, _ = residuals_by_lag(result.data, result.prediction)
    reach = float(np.nanmax(np.abs(mean))) or 1.0
    image = axes.imshow(
        mean, aspect="auto", cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest",
        extent=(-0.5, mean.shape[1] - 0.5, mean.shape[0] - 0.5, -0.5),
    )  # fmt: skip
    axes.set(
        title="(c) mean of measured less fitted",
        xlabel="episodes since the last visit",
        ylabel="visits so far",
    )
    axes.set_yticks(range(mean.shape[0]))
    figure.colorbar(image, ax=axes, label="loss")


def _recovery(axes: Any, result: FitResult) -> None:
    for losses, label, look, shift in (
        (result.data, "measured", _NETWORK, -0.04),
        (result.prediction, "fitted", _TOY, 0.04),
    ):
        scores = recovery_scores(losses)
        epochs = [n for n, s in enumerate(scores, start=1) if s]
        axes.plot([n + shift for n in epochs], [scores[n - 1].value for n in epochs], "o", linewidth=1.4,
                  **({"linestyle": "-"} | look), label=label)  # fmt: skip
    noisy = noisy_recovery(result)
    epochs = [n for n, s in enumerate(noisy, start=1) if s]
    values = [noisy[n - 1].value for n in epochs]
    label = "fitted, with noise like the residuals'"
    axes.plot(epochs, values, "s:", label=label, linewidth=1.4, markerfacecolor="white", color=_TOY["color"])
    axes.set(title="(d) recovery score", xlabel="epoch", ylabel="recovery score", ylim=(-0.03, 1.05))
    axes.set_xticks(range(1, result.data.epochs))
    axes.legend(frameon=False, fontsize=8)
