"""The report of a fit as one HTML file that needs nothing but itself, legible on a phone."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from string import Template
from typing import TYPE_CHECKING

from toymodel.files import atomic_write

if TYPE_CHECKING:
    from bridge.forecast import Forecast
    from bridge.judgement import Candidate
    from bridge.result import FitResult

__all__ = ["write_html"]

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1b1b1b; --page: #ffffff; --line: #c9c9c9; --soft: #f3f3f3; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --page: #17191c; --line: #45494f; --soft: #22252a; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; color: var(--ink); background: var(--page);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
.box { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 0.3rem 0.8rem 0.3rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
td.words { min-width: 14rem; }
figure { margin: 0; }
figure img { display: block; width: 100%; min-width: 36rem; height: auto; background: #ffffff; }
pre { padding: 0.8rem; background: var(--soft); font-size: 0.85rem; line-height: 1.4; overflow-wrap: normal; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<p>$mechanism</p>
<h2>Picture</h2>
<figure class="box"><img alt="Measured and fitted losses, residuals and recovery scores"
src="data:image/png;base64,$png"></figure>
<h2>Parameters</h2>
$parameters
$table
<h2>Report</h2>
<pre class="box">$text</pre>
</main>
</body>
</html>
""")


def write_html(
    path: str | os.PathLike[str],
    result: FitResult,
    ahead: Forecast | None = None,
    candidates: Sequence[Candidate] = (),
) -> None:
    """Write the page, whole or not at all."""
    picture = io.BytesIO()
    result.plot(ahead).savefig(picture, format="png")
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
        compared = "<h2>Forms of the mechanism and null models</h2>" + _table(
            ["form", "parameters", "R²", "R², shift-averaged", "recovery error", "AIC", "BIC"],
            [[c.name, f"{c.parameters:.0f}", f"{c.r2:.3f}", f"{c.shift_averaged:.3f}",
              "-" if c.recovery_error is None else f"{c.recovery_error:.3f}", f"{c.aic:.0f}", f"{c.bic:.0f}"]
             for c in candidates],
        )  # fmt: skip
    data = result.data
    page = _PAGE.substitute(
        title=f"Fit of the toy model: {data.tasks} documents, {data.epochs} epochs",
        mechanism=html.escape(result.mechanism.name),
        png=base64.b64encode(picture.getvalue()).decode(),
        parameters=_table(["parameter", "value", "95% interval", "meaning", "why no interval"], rows),
        table=compared,
        text=html.escape(result.report(ahead)),
    )
    with atomic_write(path, "w") as file:
        file.write(page)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cell(text: str) -> str:
        # Long words keep a column wide enough to read; numbers take what they need.
        kind = ' class="words"' if len(text) > 30 else ""
        return f"<td{kind}>{html.escape(text)}</td>"

    first = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = ["<tr>" + "".join(map(cell, row)) + "</tr>" for row in rows]
    return f'<div class="box"><table><tr>{first}</tr>{"".join(lines)}</table></div>'
