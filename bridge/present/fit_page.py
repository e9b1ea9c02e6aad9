"""Findings as one HTML file that needs nothing but itself, legible on a phone."""

from __future__ import annotations

import html
import io
import os

from matplotlib.figure import Figure

from bridge.judge.findings import Findings
from bridge.present.html_page import page, picture, table
from bridge.present.picture import plot
from bridge.present.predictions import plot_predictions
from bridge.present.report import report
from toymodel.base.files import atomic_write

__all__ = ["write_html"]


def write_html(path: str | os.PathLike[str], found: Findings) -> None:
    """Write the page, whole or not at all; the text on it is the terminal's."""
    fit = found.fit
    rows = [
        [
            p.name,
            f"{p.value:.4g}",
            "" if p.low is None else f"{p.low:.4g} to {p.high:.4g}",
            p.meaning,
            p.reason,
        ]
        for p in fit.parameters
    ]
    body = [
        f"<p>Form: {html.escape(fit.mechanism.name)}.<br>Why: {html.escape(found.reason)}.</p>",
        "<h2>Picture</h2>",
        picture(_png(plot(found)), "Losses by lag, network and toy; residuals, scores and nulls"),
        "<h2>Parameters</h2>",
        table(["parameter", "value", "95% interval", "meaning", "why no interval"], rows),
    ]
    if found.predictions:
        body += [
            "<h2>Runs predicted from this fit alone</h2>",
            picture(_png(plot_predictions(found.predictions)), "Losses of other runs, found and predicted"),
            table(
                ["run", "what it changes", "R²", "as if nothing changed", "R² after epoch 1", "null"],
                [[p.run, p.change.words, f"{p.r2:.3f}", f"{p.null_r2:.3f}", _maybe(p.later_r2),
                  _maybe(p.later_null_r2)] for p in found.predictions],
            ),
        ]  # fmt: skip
    if found.candidates:
        body += [
            "<h2>Forms of the mechanism and null models</h2>",
            table(
                ["form", "parameters", "R²", "R², shift-averaged", "recovery error", "AIC", "BIC"],
                [[c.name, f"{c.parameters:.0f}", f"{c.r2:.3f}", f"{c.shift_averaged:.3f}",
                  _maybe(c.recovery_error), f"{c.aic:.0f}", f"{c.bic:.0f}"] for c in found.candidates],
            ),
        ]  # fmt: skip
    body += ["<h2>Report</h2>", f'<pre class="box">{html.escape(report(found))}</pre>']
    title = f"Fit of the toy model: {fit.data.tasks} documents, {fit.data.epochs} epochs"
    with atomic_write(path, "w") as file:
        file.write(page(title, "\n".join(body)))


def _maybe(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
