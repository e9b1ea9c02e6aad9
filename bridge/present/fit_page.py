"""The report of a fit as one HTML file that needs nothing but itself, legible on a phone."""

from __future__ import annotations

import html
import io
import os
from collections.abc import Sequence

from bridge.estimate.result import FitResult
from bridge.judge.forecast import Forecast
from bridge.judge.goodness import Candidate
from bridge.present.html_page import page, picture, table
from bridge.present.picture import plot
from bridge.present.report import report
from toymodel.base.files import atomic_write

__all__ = ["write_html"]


def write_html(
    path: str | os.PathLike[str],
    result: FitResult,
    ahead: Forecast | None = None,
    candidates: Sequence[Candidate] = (),
) -> None:
    """Write the page, whole or not at all."""
    png = io.BytesIO()
    plot(result, ahead).savefig(png, format="png")
    rows = [
        [
            p.name,
            f"{p.value:.4g}",
            "" if p.low is None else f"{p.low:.4g} to {p.high:.4g}",
            p.meaning,
            p.reason,
        ]
        for p in result.parameters
    ]
    compared = ""
    if candidates:
        compared = "<h2>Forms of the mechanism and null models</h2>\n" + table(
            ["form", "parameters", "R²", "R², shift-averaged", "recovery error", "AIC", "BIC"],
            [[c.name, f"{c.parameters:.0f}", f"{c.r2:.3f}", f"{c.shift_averaged:.3f}",
              "-" if c.recovery_error is None else f"{c.recovery_error:.3f}", f"{c.aic:.0f}", f"{c.bic:.0f}"]
             for c in candidates],
        )  # fmt: skip
    data = result.data
    body = [
        f"<p>{html.escape(result.mechanism.name)}</p>",
        "<h2>Picture</h2>",
        picture(png.getvalue(), "Measured and fitted losses, residuals and recovery scores"),
        "<h2>Parameters</h2>",
        table(["parameter", "value", "95% interval", "meaning", "why no interval"], rows),
        compared,
        "<h2>Report</h2>",
        f'<pre class="box">{html.escape(report(result, ahead))}</pre>',
    ]
    title = f"Fit of the toy model: {data.tasks} documents, {data.epochs} epochs"
    with atomic_write(path, "w") as file:
        file.write(page(title, "\n".join(body)))
